"""The extractive generator: answers with sentences of the passages, to the letter."""
