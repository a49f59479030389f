"""Corpus ports over SQLite files that the processes of one machine share."""
