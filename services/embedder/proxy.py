"""What Ray Serve's gRPC proxy needs to take the embedder's RPCs; named in the Serve config. Loads no model."""

from typing import Final

from chassis.rpc.serve_proxy import guarded
from headwater.embedding.v1 import embedding_pb2_grpc

add_embedding: Final = guarded(embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server)
"""Embedding changes nothing, so a request whose replica died may be repeated."""
