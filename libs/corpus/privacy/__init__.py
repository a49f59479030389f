"""Personal data in text: what it is recognised by, and what may take its place (docs/privacy.md)."""
