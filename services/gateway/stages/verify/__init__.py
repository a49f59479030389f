"""Verification of citations: is every sentence of an answer carried by what it cites?"""
