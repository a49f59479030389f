"""Proof that the tests would notice: takes one protection out at a time, in a copy of the tree, and runs the tests that
should turn red. ``python -m tests.mutants`` is the command; the protections are in ``catalogue``."""
