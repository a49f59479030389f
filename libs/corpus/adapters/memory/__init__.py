"""Corpus ports in this process's memory, for unit tests and simulation: same contract, nothing survives the process."""
