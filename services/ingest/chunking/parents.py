"""Parent sections: what a chunk expands to."""

from collections.abc import Sequence

from ingest.chunking.model import Chunk, ParentSection
from ingest.chunking.spans import common_path


def parent_sections(chunks: Sequence[Chunk], max_tokens: int) -> tuple[tuple[ParentSection, ...], list[int]]:
    """Return the parent sections and, for each chunk, the index of its own.

    Neighbouring chunks under the same parent heading make one section of at most `max_tokens`; a longer run is
    divided evenly, so that no chunk is left with a stump of a section.
    """
    sections: list[ParentSection] = []
    indexes: list[int] = []
    for run in _runs(chunks):
        for group in _even_groups(run, max_tokens):
            indexes += [len(sections)] * len(group)
            path = common_path([chunk.heading_path for chunk in group])
            sections.append(ParentSection(path, group[0].start, group[-1].end, group[0].page))
    return tuple(sections), indexes


def _runs(chunks: Sequence[Chunk]) -> list[list[Chunk]]:
    runs: list[list[Chunk]] = []
    for chunk in chunks:
        if runs and _parent(runs[-1][-1]) == _parent(chunk):
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    return runs


def _parent(chunk: Chunk) -> tuple[str, ...]:
    """A top-level section is its own parent: the whole document is rarely what a reader wants."""
    return chunk.heading_path[:-1] if len(chunk.heading_path) > 1 else chunk.heading_path


def _even_groups(run: Sequence[Chunk], max_tokens: int) -> list[list[Chunk]]:
    total = sum(chunk.token_count for chunk in run)
    share = total / -(-total // max_tokens)
    groups: list[list[Chunk]] = []
    size = 0
    for chunk in run:
        if groups and size + chunk.token_count <= max_tokens and size + chunk.token_count / 2 <= share:
            groups[-1].append(chunk)
            size += chunk.token_count
        else:
            groups.append([chunk])
            size = chunk.token_count
    return groups
