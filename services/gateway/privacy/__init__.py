"""Pseudonyms at the edge: the vault's service, and answers that are told with what they stand for."""
