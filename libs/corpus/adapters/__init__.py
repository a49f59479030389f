"""Adapters of the corpus ports, one package per engine."""
