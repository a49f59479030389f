"""Protections of generations that are kept side by side."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_TESTS = ("tests/unit/ingest/test_generations.py",)

GENERATIONS = (
    Mutant(
        "generation-second-look",
        "a change that began before a generation was created is written to it as well",
        "services/ingest/generations/write.py",
        "if plan.written_alike(before):",
        "if True:",
        _TESTS,
    ),
    Mutant(
        "generation-align-beside",
        "readers who come while a document is built find it in the generation beside",
        "services/ingest/apply.py",
        "(rows_differ or await self.rows.has_beside())",
        "rows_differ",
        _TESTS,
    ),
    Mutant(
        "generation-complete",
        "no generation is promoted while a document is missing in it",
        "services/ingest/generations/manage.py",
        "        if missing:\n            raise FailedPrecondition(",
        "        if False:\n            raise FailedPrecondition(",
        _TESTS,
    ),
    Mutant(
        "generation-access-everywhere",
        "a change of access reaches the rows of every generation that is kept",
        "services/ingest/rows.py",
        "for generation in sorted(kept | {head.generation}):",
        "for generation in [head.generation]:",
        _TESTS,
    ),
    Mutant(
        "generation-number",
        "a dropped generation never comes back under its name",
        "services/ingest/generations/manage.py",
        "number=plan.revision + 1",
        "number=1",
        _TESTS,
    ),
    Mutant(
        "generation-plan-compare",
        "of two changes of one plan one is refused",
        "libs/corpus/adapters/memory/generations.py",
        "if self._plan is None or self._plan.revision != plan.revision - 1:",
        "if self._plan is None:",
        ("tests/contract/test_generations.py",),
    ),
    Mutant(
        "rebuilt-as-cut",
        "a rebuild cuts documents as the generation does, not as the settings say",
        "services/ingest/rebuild_heads.py",
        "index = await self.recipes.beside(generation) if self.recipes else self.index",
        "index = self.index",
        ("tests/unit/ingest/test_rebuild.py",),
    ),
)
