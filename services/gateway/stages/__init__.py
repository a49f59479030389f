"""Stages of a question, one file each."""
