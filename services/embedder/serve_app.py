"""The embedder behind Ray Serve's gRPC proxy: the other edge over the same engine and the same servicer.

``embedder.serve_app:app`` is the application's import path in a Serve config, ``embedder.proxy.add_embedding`` the
function for ``grpc_servicer_functions``. Replicas are told what to do by their environment, as every service is.
``python -m embedder.serve_app`` starts both on this machine.
"""

from __future__ import annotations

from typing import Any, Final

from ray import serve

from chassis.errors import DependencyUnavailable
from chassis.rpc.replica import CarriedContext, ReplicaEdge
from chassis.rpc.serve import deployment_options, run
from chassis.settings import load_settings, read_settings
from embedder.adapters.local_engine import open_local_engine
from embedder.main import CALLERS, SERVICE, OpenEngine
from embedder.service import EmbedTexts
from embedder.servicer import EmbeddingServicer
from embedder.settings import EmbedderSettings
from headwater.embedding.v1 import embedding_pb2

ADD_TO_PROXY: Final = "embedder.proxy.add_embedding"
_EMBED: Final = f"/{SERVICE}/Embed"
_INFO: Final = f"/{SERVICE}/GetModelInfo"


class EmbedderReplica:
    """One replica: a loaded model, and the contract's methods around it."""

    async def __init__(self, open_engine: OpenEngine = open_local_engine) -> None:  # type: ignore[misc]  # Serve awaits it
        settings = read_settings(EmbedderSettings)
        self._edge = await ReplicaEdge.open(settings, CALLERS)
        self._texts = EmbedTexts(await open_engine(settings), max_texts=settings.max_texts)
        self._servicer = EmbeddingServicer(self._texts)

    async def Embed(  # noqa: N802
        self, request: embedding_pb2.EmbedRequest, grpc_context: CarriedContext
    ) -> embedding_pb2.EmbedResponse:
        """See the proto."""
        nothing = embedding_pb2.EmbedResponse()
        return await self._edge.answer(_EMBED, self._servicer.Embed, request, grpc_context, nothing)

    async def GetModelInfo(  # noqa: N802
        self, request: embedding_pb2.GetModelInfoRequest, grpc_context: CarriedContext
    ) -> embedding_pb2.GetModelInfoResponse:
        """See the proto."""
        nothing = embedding_pb2.GetModelInfoResponse()
        return await self._edge.answer(_INFO, self._servicer.GetModelInfo, request, grpc_context, nothing)

    async def check_health(self) -> None:
        """Serve replaces a replica in which this raises."""
        if not self._texts.works:
            raise DependencyUnavailable("The encoder's workers have ended.", reason="ENGINE_DEAD")

    def __del__(self) -> None:
        # Serve calls it at the end of a graceful stop; Python also where the replica never came to be.
        if edge := getattr(self, "_edge", None):
            edge.close()


def application(settings: EmbedderSettings, open_engine: OpenEngine = open_local_engine) -> Any:
    """The application, with queues and replicas as ``settings`` say."""
    return serve.deployment(**deployment_options(settings))(EmbedderReplica).bind(open_engine)


def app(arguments: dict[str, str]) -> serve.Application:
    """Builds the application from the environment. Raises ValueError where a Serve config passes arguments."""
    if arguments:
        raise ValueError("The embedder is told what to do by its environment, not by arguments of the Serve config.")
    return application(read_settings(EmbedderSettings))


def main() -> None:
    """Serves on this machine until told to stop."""
    settings = load_settings(EmbedderSettings)
    # The module by its name, or replicas would look for what is here in their own __main__.
    from embedder import serve_app

    run(serve_app.application(settings), settings, ADD_TO_PROXY)


if __name__ == "__main__":
    main()
