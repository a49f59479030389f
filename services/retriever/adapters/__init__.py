"""Peers of the retriever behind its ports."""
