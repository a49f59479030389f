"""The microservice chassis: mechanism that every service needs, without one word of the retrieval domain."""
