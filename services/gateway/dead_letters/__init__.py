"""Dead letters at the edge."""
