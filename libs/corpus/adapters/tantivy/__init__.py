"""The embedded lexical engine."""

from corpus.adapters.tantivy.index import TantivyLexicalIndex

__all__ = ["TantivyLexicalIndex"]
