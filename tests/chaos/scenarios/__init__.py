"""One file per promise, each with a function ``play`` that returns its figures."""
