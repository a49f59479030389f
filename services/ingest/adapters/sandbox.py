"""The parser pool behind the Parser port."""

from __future__ import annotations

from ingest.parsing.model import ParsedDocument
from ingest.sandbox import ParserPool


class SandboxedParser:
    """Parses in sandboxed processes."""

    def __init__(self, pool: ParserPool) -> None:
        self._pool = pool

    async def parse(self, data: bytes, filename: str, media_type: str) -> ParsedDocument:
        """See the port."""
        return await self._pool.parse(data, filename, media_type)
