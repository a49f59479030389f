"""Several generations side by side: writing to all that are kept, filling gaps, and changing what is searched
(docs/generations.md)."""
