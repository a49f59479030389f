"""Benchmarks. Each prints one JSON object; ``python -m bench`` measures everything the README quotes."""
