"""What every parser gets: the bytes, what is known about them, and the limits."""

from dataclasses import dataclass

from ingest.parsing.limits import ParseLimits


@dataclass(frozen=True, slots=True)
class Source:
    """One document as it arrived.

    Attributes:
        data: The bytes.
        text: The decoded, normalised text; empty for binary formats.
        name: File name without directories; may be empty.
        limits: What parsing may cost.
    """

    data: bytes
    text: str
    name: str
    limits: ParseLimits
