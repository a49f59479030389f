"""The stages of a search, one per module, in the order of their names in ``retriever.service``."""
