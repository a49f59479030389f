"""Hybrid search: legs in parallel, fusion, head check, rerank, selection, expansion."""
