"""Answers that were given before, served again to the same reader while nothing they rest on has changed."""
