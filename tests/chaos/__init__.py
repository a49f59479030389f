"""Tier T3 of the guarantees: the promises on real servers, with faults between them and the services; see
docs/guarantees.md."""
