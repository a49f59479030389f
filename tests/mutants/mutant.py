"""What a mutant is, and how it is put into a tree."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path


class DoesNotApply(Exception):
    """The source no longer holds what the mutant replaces, once and only once: mend the catalogue."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One protection, taken out.

    Attributes:
        name: To call it by.
        protects: What the protection is for, in a few words.
        path: The file, from the root of the repository.
        old: What is there, exactly once.
        new: What comes in its place.
        tests: What pytest is given: the tests that should notice, fastest first.
        area: What it is given next, should none of those have noticed. Nothing: they are the whole area.
    """

    name: str
    protects: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    area: tuple[str, ...] = ()

    def mutated(self, root: Path) -> str:
        """The file with the protection taken out. Raises DoesNotApply."""
        try:
            source = (root / self.path).read_text()
        except FileNotFoundError:
            raise DoesNotApply(f"{self.name}: there is no {self.path} any more.") from None
        if (count := source.count(self.old)) != 1:
            raise DoesNotApply(f"{self.name}: {self.path} holds its text {count} times instead of once.")
        mutated = source.replace(self.old, self.new)
        try:
            ast.parse(mutated)
        except SyntaxError as error:
            raise DoesNotApply(f"{self.name}: {self.path} is no Python with it: {error.msg}.") from None
        return mutated
