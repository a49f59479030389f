"""Which engines stand behind the ports: one class per profile, chosen once by a service's composition root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corpus.engines.port import CorpusStores, Engines

if TYPE_CHECKING:
    from chassis.lifecycle import Lifecycle
    from corpus.settings import StoreSettings

__all__ = ["CorpusStores", "Engines", "open_engines"]


def open_engines(lifecycle: Lifecycle, settings: StoreSettings) -> Engines:
    """The engines of ``settings.profile``. Connections are made when they are first needed and closed with
    ``lifecycle``."""
    # The other profile's libraries are never loaded: they cost seconds at the start and tens of megabytes.
    if settings.profile == "cluster":
        from corpus.engines.cluster import ClusterEngines

        return ClusterEngines(lifecycle, settings)
    from corpus.engines.embedded import EmbeddedEngines

    return EmbeddedEngines(lifecycle, settings)
