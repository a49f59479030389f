"""Generators: what turns context blocks into an answer."""
