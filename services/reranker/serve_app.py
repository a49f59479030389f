"""The reranker behind Ray Serve's gRPC proxy: the other edge over the same scorer and the same servicer.

``reranker.serve_app:app`` is the application's import path in a Serve config, ``reranker.proxy.add_rerank`` the
function for ``grpc_servicer_functions``. Replicas are told what to do by their environment, as every service is.
``python -m reranker.serve_app`` starts both on this machine.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, Final

from ray import serve

from chassis.errors import DependencyUnavailable
from chassis.rpc.replica import CarriedContext, ReplicaEdge
from chassis.rpc.serve import deployment_options, run
from chassis.settings import load_settings, read_settings
from headwater.rerank.v1 import rerank_pb2
from reranker.adapters.loading import open_scorer
from reranker.main import CALLERS, SERVICE
from reranker.service import RankPassages
from reranker.servicer import RerankServicer
from reranker.settings import RerankerSettings

ADD_TO_PROXY: Final = "reranker.proxy.add_rerank"
_RERANK: Final = f"/{SERVICE}/Rerank"
_INFO: Final = f"/{SERVICE}/GetRerankerInfo"


class RerankerReplica:
    """One replica: a loaded model with a cache of its own, and the contract's methods around it."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        settings = read_settings(RerankerSettings)
        self._edge = await ReplicaEdge.open(settings, CALLERS)
        self._stack = AsyncExitStack()
        self._ranking = RankPassages(await open_scorer(settings, self._stack), max_passages=settings.max_passages)
        self._servicer = RerankServicer(self._ranking)

    async def Rerank(  # noqa: N802
        self, request: rerank_pb2.RerankRequest, grpc_context: CarriedContext
    ) -> rerank_pb2.RerankResponse:
        """See the proto."""
        nothing = rerank_pb2.RerankResponse()
        return await self._edge.answer(_RERANK, self._servicer.Rerank, request, grpc_context, nothing)

    async def GetRerankerInfo(  # noqa: N802
        self, request: rerank_pb2.GetRerankerInfoRequest, grpc_context: CarriedContext
    ) -> rerank_pb2.GetRerankerInfoResponse:
        """See the proto."""
        nothing = rerank_pb2.GetRerankerInfoResponse()
        return await self._edge.answer(_INFO, self._servicer.GetRerankerInfo, request, grpc_context, nothing)

    async def check_health(self) -> None:
        """Serve replaces a replica in which this raises."""
        if not self._ranking.works:
            raise DependencyUnavailable("The encoder's workers have ended.", reason="ENGINE_DEAD")

    def __del__(self) -> None:
        # Serve calls it at the end of a graceful stop; Python also where the replica never came to be.
        if edge := getattr(self, "_edge", None):
            edge.close()


def application(settings: RerankerSettings) -> Any:
    """The application, with queues and replicas as ``settings`` say."""
    return serve.deployment(**deployment_options(settings))(RerankerReplica).bind()


def app(arguments: dict[str, str]) -> serve.Application:
    """Builds the application from the environment. Raises ValueError where a Serve config passes arguments."""
    if arguments:
        raise ValueError("The reranker is told what to do by its environment, not by arguments of the Serve config.")
    return application(read_settings(RerankerSettings))


def main() -> None:
    """Serves on this machine until told to stop."""
    settings = load_settings(RerankerSettings)
    # The module by its name, or replicas would look for what is here in their own __main__.
    from reranker import serve_app

    run(serve_app.application(settings), settings, ADD_TO_PROXY)


if __name__ == "__main__":
    main()
