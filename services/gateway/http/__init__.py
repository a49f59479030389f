"""HTTP edge: the same use cases as gRPC, with server-sent events, OpenAPI and an OpenAI-compatible endpoint."""
