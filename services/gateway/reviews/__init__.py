"""Reviews, as the ingest service knows them."""
