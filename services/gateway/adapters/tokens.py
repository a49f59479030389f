"""Token counts without a tokenizer."""

from __future__ import annotations

import re
from typing import Final

_PIECE: Final = re.compile(r"[a-zA-Z]+|\d|[^\sa-zA-Z\d]")
_CHARACTERS_PER_TOKEN: Final = 6.0
"""English words of up to six letters are mostly one token in byte-pair vocabularies; longer ones are cut."""


class EstimatingTokenCounter:
    """Estimates what a byte-pair tokenizer would count, on the high side, so that a budget is rather missed than
    broken.

    A loaded tokenizer costs the gateway tens of megabytes, and it would be the embedder's, not that of whichever model
    generates.
    """

    def count(self, text: str) -> int:
        """Words by their length, digits and marks one by one."""
        return sum(1 + int((len(piece) - 1) / _CHARACTERS_PER_TOKEN) for piece in _PIECE.findall(text))
