"""A promotion that does not come to its end asks nothing more of writers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.ingest.generations_world import GenerationsWorld, passing
from tests.unit.ingest.world import WRITER, stop, until

from chassis.errors import Conflict, DependencyUnavailable, HeadwaterError
from ingest.generations.manage import ManageGenerations


class Watched:
    """The registry of generations, whose calls go by way of a hook."""

    def __init__(self, inner: Any, around: Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]) -> None:
        self._inner, self._around = inner, around

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return lambda *args: self._around(name, lambda: method(*args))


async def ready(world: GenerationsWorld, *, second: bool = False) -> str:
    """A shadow that may be promoted."""
    await world.put("d", 1, "text of d")
    plan = await world.operate.create(WRITER, chunk_target_tokens=0 if second else 40, second_embedder=second)
    assert plan.beside is not None
    name = plan.beside.generation.name
    await world.keeper().once()
    await world.operate.record_comparison(WRITER, name, passing(plan.active.name))
    return name


async def required(world: GenerationsWorld) -> bool:
    plan = await world.stores.generations.plan()
    return plan is not None and plan.beside is not None and plan.beside.required


def manager(world: GenerationsWorld, around: Any, seen_after_seconds: float = 0.0) -> ManageGenerations:
    stores = world.stores
    generations: Any = Watched(stores.generations, around)
    return ManageGenerations(
        generations,
        stores.tenants,
        stores.heads,
        stores.chunks,
        world.embedder,
        world.second,
        world.clock,
        seen_after_seconds=seen_after_seconds,
    )


async def straight(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
    return await call()


@pytest.mark.parametrize("times", [1, 2])
async def test_a_promotion_that_is_cancelled_leaves_nothing_required(times: int) -> None:
    async with GenerationsWorld() as world:
        name = await ready(world)
        promoting = asyncio.create_task(manager(world, straight, 60.0).promote(WRITER, name))
        await until(lambda: required(world))
        for _ in range(times):
            promoting.cancel()
            await asyncio.sleep(0)
        await stop(promoting)

        async def is_reset() -> bool:
            return not await required(world)

        await until(is_reset)


@pytest.mark.parametrize("done", [False, True])
async def test_a_promotion_whose_first_step_has_an_unknown_outcome_leaves_nothing_required(done: bool) -> None:
    struck = False

    async def around(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal struck
        if name == "change" and not struck:
            struck = True
            if done:
                await call()
            raise DependencyUnavailable("away", retry_after_seconds=0.0)
        return await call()

    async with GenerationsWorld() as world:
        name = await ready(world)
        with pytest.raises(DependencyUnavailable):
            await manager(world, around).promote(WRITER, name)
        assert not await required(world)


async def test_a_promotion_that_meets_another_change_of_the_plan_leaves_nothing_required() -> None:
    async with GenerationsWorld() as world:
        name = await ready(world)
        changes = 0

        async def around(method: str, call: Callable[[], Awaitable[Any]]) -> Any:
            nonlocal changes
            changes += method == "change"
            if method == "change" and changes == 2:
                plan = await world.stores.generations.plan()
                assert plan is not None
                await world.stores.generations.change(plan.reclaimed("another"))
            return await call()

        with pytest.raises(Conflict):
            await manager(world, around).promote(WRITER, name)
        assert not await required(world)
        await world.operate.promote(WRITER, name)


async def test_what_a_required_shadow_makes_no_vectors_of_is_no_dead_letter() -> None:
    async with GenerationsWorld() as world:
        await ready(world, second=True)
        plan = await world.stores.generations.plan()
        assert plan is not None
        await world.stores.generations.change(plan.requiring(True))

        async def nothing(texts: Any, expected_revision: str) -> NDArray[np.float32]:
            return np.full((len(texts), 8), np.nan, np.float32)

        world.second.embed_passages = nothing  # type: ignore[method-assign]
        try:
            await world.put("e", 1, "text of e")
        except HeadwaterError as error:
            pytest.fail(f"{type(error).__name__} {error.reason}")
        assert (await world.served())["e"] == "text of e"
