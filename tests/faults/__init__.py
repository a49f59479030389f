"""Fault injection over real processes and real stores: a generator that notes what was accepted, a nemesis that injects
named faults from a seed, a checker that reads the stores. None of the three knows of the others."""
