"""Finds sources of one answer that disagree, and cites both."""
