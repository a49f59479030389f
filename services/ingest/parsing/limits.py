"""How much one document may cost."""

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Limits on one document; sizes in bytes unless named otherwise.

    Attributes:
        max_input_bytes: Larger input is refused before anything reads it.
        max_output_chars: Larger extracted text is refused (code points).
        max_pages: Pages, slides or sheets.
        max_uncompressed_bytes: Total size of a zip container's members, by its directory.
        max_compression_ratio: Uncompressed over compressed; Office files stay below 60, bombs start at 1,000.
        cpu_seconds: Processor time for one document, enforced by the kernel.
        wall_seconds: Elapsed time for one document, enforced by the caller of the sandbox.
        memory_bytes: Address space on top of what the warm parser process already maps.
    """

    max_input_bytes: int = 64 * _MIB
    max_output_chars: int = 32 * _MIB
    max_pages: int = 5_000
    max_uncompressed_bytes: int = 512 * _MIB
    max_compression_ratio: float = 200.0
    cpu_seconds: int = 60
    wall_seconds: float = 90.0
    memory_bytes: int = 1024 * _MIB
