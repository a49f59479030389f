"""What changes rarely and every search needs: the active generation and the tenants' declared fields."""

from __future__ import annotations

import asyncio

from chassis.clock import Clock
from chassis.errors import DependencyUnavailable, HeadwaterError, NotFound
from chassis.telemetry import logger
from corpus.domain import Generation, Tenant
from corpus.generation_plan import BesideRole, GenerationPlan
from corpus.ports import Generations, Tenants

TENANT_SECONDS = 5.0
"""How long a tenant is remembered. Stale fields only refuse or accept a filter; what may be read is never decided
here.
"""

_log = logger("retriever.catalogue")


class Catalogue:
    """Remembers tenants for a few seconds and the active generation until the next ``refresh``."""

    def __init__(self, tenants: Tenants, generations: Generations, clock: Clock) -> None:
        self._tenants = tenants
        self._generations = generations
        self._clock = clock
        self._known: dict[str, tuple[float, Tenant]] = {}
        self._plan: GenerationPlan | None = None
        self._loaded = False

    async def generation(self, name: str = "") -> Generation | None:
        """The active generation as of the last refresh, None when nothing was ever ingested; or the one with this name.
        Raises NotFound UNKNOWN_GENERATION for a name that none of those has that are kept."""
        if not self._loaded:
            await self.refresh()
        if not name:
            return self._plan.active if self._plan else None
        found = [each for each in self._plan.kept if each.name == name] if self._plan else []
        if not found:
            raise NotFound("No generation of this name is kept up to date.", reason="UNKNOWN_GENERATION")
        return found[0]

    def shadow(self) -> Generation | None:
        """The generation that is built to take the active one's place, as of the last refresh."""
        beside = self._plan.beside if self._plan else None
        return beside.generation if beside is not None and beside.role is BesideRole.SHADOW else None

    async def refresh(self) -> None:
        """Reads again which generation is active. Raises DependencyUnavailable."""
        plan = await self._generations.plan()
        before = self._plan.active if self._plan else None
        self._loaded, self._plan = True, plan
        if plan is not None and plan.active != before:
            _log.info("searching another generation", generation=plan.active.name)

    async def keep_current(self, every_seconds: float) -> None:
        """Refreshes for ever. While the registry can't be read, the last known generation is searched: heads still
        decide.
        """
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await self.refresh()
            except HeadwaterError as error:
                _log.warning("the active generation can't be read", reason=error.reason)

    async def tenant(self, name: str, *, fresh: bool = False) -> Tenant:
        """The tenant of this name, at most a few seconds old, or as of now with ``fresh``.

        An unknown tenant is asked for each time, so that one just created is known at once.

        Raises:
            NotFound: UNKNOWN_TENANT.
            DependencyUnavailable: The registry can't be read and the tenant isn't remembered.
        """
        now = self._clock.monotonic()
        known = self._known.get(name)
        if known is not None and not fresh and now - known[0] < TENANT_SECONDS:
            return known[1]
        try:
            tenant = await self._tenants.named(name)
        except DependencyUnavailable:
            if known is None:
                raise
            return known[1]
        if tenant is None:
            self._known.pop(name, None)
            raise NotFound("There is no such tenant: create it before searching.", reason="UNKNOWN_TENANT")
        self._known[name] = (now, tenant)
        return tenant
