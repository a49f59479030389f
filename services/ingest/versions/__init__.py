"""Earlier versions of documents, as long as they are kept."""
