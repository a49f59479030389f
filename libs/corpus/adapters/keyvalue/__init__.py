"""Adapters over the key-value cache."""
