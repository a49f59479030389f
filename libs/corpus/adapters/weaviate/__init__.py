"""The vector engine of the cluster profile."""

from corpus.adapters.weaviate.connection import WeaviateConnection, open_weaviate
from corpus.adapters.weaviate.vector_index import WeaviateVectorIndex

__all__ = ["WeaviateConnection", "WeaviateVectorIndex", "open_weaviate"]
