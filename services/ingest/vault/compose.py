"""The vault, as the settings say."""

from __future__ import annotations

from chassis.clock import Clock
from corpus.engines import CorpusStores
from corpus.privacy.vault import Vault
from ingest.settings import IngestSettings
from ingest.vault.operate import OperateVault
from ingest.vault.servicer import PrivacyServicer


def vault_of(settings: IngestSettings, corpus: CorpusStores) -> Vault | None:
    """The vault; None where there are no keys for one."""
    ring = settings.vault_ring()
    return Vault(ring, corpus.pseudonyms) if ring is not None else None


def privacy_servicer(settings: IngestSettings, corpus: CorpusStores, clock: Clock) -> PrivacyServicer:
    """What the API role serves of it."""
    vault = vault_of(settings, corpus)
    return PrivacyServicer(OperateVault(vault, corpus.tenants, corpus.heads, corpus.generations, clock))
