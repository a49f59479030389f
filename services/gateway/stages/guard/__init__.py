"""Guardrails (docs/guardrails.md): what may be asked, what a generator may read, and what an answer may hold."""
