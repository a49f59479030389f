"""Where to cut: the cheapest partition of the atoms into chunks.

Dynamic programming over break points, as Knuth and Plass break a paragraph into lines ("Breaking paragraphs into
lines", Software: Practice and Experience 11, 1981): every chunk has a price for its length, every boundary one for
being cut or not being cut, and the whole document's sum is minimal. Greedy filling would leave stumps at the end of
sections; this balances them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.chunking.atoms import Atom

# Between target and limit a chunk is less wanted but allowed; below the target it gets worse quadratically.
_OVER_TARGET_WEIGHT = 0.5
# The longest text that counts as one token. Tokenizers turn a "word" of a megabyte into one unknown token; a
# chunk must stay readable all the same.
MAX_CHARS_PER_TOKEN = 24


@dataclass(frozen=True, slots=True)
class Room:
    """Tokens that a chunk beginning in some section may have: wanted and at most, context already taken off."""

    target: int
    limit: int


def length_cost(tokens: int, room: Room) -> float:
    """Return the price of a chunk of `tokens`: 0 at the target, 1 for an empty one, 0.5 at the limit."""
    if tokens <= room.target:
        short = (room.target - tokens) / room.target
        return short * short
    over = (tokens - room.target) / max(1, room.limit - room.target)
    return _OVER_TARGET_WEIGHT * over * over


def weight(atom: Atom) -> int:
    """Return the tokens of an atom, or more if its text is far longer than its tokens suggest."""
    return max(atom.tokens, (atom.end - atom.start) // MAX_CHARS_PER_TOKEN)


def pack(atoms: Sequence[Atom], rooms: Sequence[Room]) -> list[tuple[int, int]]:
    """Return the cheapest chunks as (first atom, one past the last atom), in order.

    Args:
        atoms: The atoms of the document.
        rooms: Room of a chunk that begins with the atom of the same index.

    A single atom over the limit becomes a chunk by itself: the caller splits such atoms beforehand.
    """
    count = len(atoms)
    weights = [weight(atom) for atom in atoms]
    best = [0.0] * (count + 1)
    # From the back, so that the room of a chunk is the one of its first atom.
    after = [count] * (count + 1)
    for first in range(count - 1, -1, -1):
        room = rooms[first]
        tokens, joins = 0, 0.0
        cheapest, choice = float("inf"), first + 1
        for last in range(first, count):
            tokens += weights[last]
            if tokens > room.limit and last > first:
                break
            if last > first:
                joins += atoms[last].join
            following = last + 1
            price = length_cost(tokens, room) + joins + best[following]
            if following < count:
                price += atoms[following].cut
            if price < cheapest:
                cheapest, choice = price, following
        best[first], after[first] = cheapest, choice
    chunks, position = [], 0
    while position < count:
        chunks.append((position, after[position]))
        position = after[position]
    return chunks
