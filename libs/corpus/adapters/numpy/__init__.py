"""The embedded vector engine."""

from corpus.adapters.numpy.index import NumpyVectorIndex

__all__ = ["NumpyVectorIndex"]
