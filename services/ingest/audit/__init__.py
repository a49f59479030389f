"""Whether the stores agree with each other, and making them agree again (docs/audit.md)."""
