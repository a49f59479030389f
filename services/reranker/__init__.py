"""The reranker: how well passages answer a query."""
