"""Generations, passed on."""
