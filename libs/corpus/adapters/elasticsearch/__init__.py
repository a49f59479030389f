"""Stores of the corpus in Elasticsearch."""
