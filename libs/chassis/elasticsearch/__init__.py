"""Connection, bulk requests and index definitions for adapters over Elasticsearch."""
