"""What the stores hold: documents, chunks, heads, access tokens, filters, generations, text analysis; their ports and
adapters."""
