"""Accepts documents and their changes (API role) and makes them searchable (worker role)."""
