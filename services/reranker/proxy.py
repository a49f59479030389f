"""What Ray Serve's gRPC proxy needs to take the reranker's RPCs; named in the Serve config. Loads no model."""

from typing import Final

from chassis.rpc.serve_proxy import guarded
from headwater.rerank.v1 import rerank_pb2_grpc

add_rerank: Final = guarded(rerank_pb2_grpc.add_RerankServiceServicer_to_server)
"""Reranking changes nothing but a cache, so a request whose replica died may be repeated."""
