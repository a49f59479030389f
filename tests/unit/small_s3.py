"""An S3 of one bucket, as far as reading goes, that refuses what it is told to refuse."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 1000
NEWEST = "2026-11-01T00:00:00.000Z"


@dataclass
class SmallS3:
    """What it holds, and what it refuses: status and code by key; ``lists`` are the answers of the next listings."""

    objects: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    refused_pages: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Of a listing, by the page's number from 0."""
    url: str = ""

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, bytes, str]:
        """Status, body and ETag."""
        key = path.partition("/")[2]
        if "list-type" in query:
            return self._page(query)
        if key in self.refused:
            return _error(*self.refused[key])
        if key not in self.objects:
            return _error(404, "NoSuchKey")
        return 200, self.objects[key], etag(self.objects[key])

    def _page(self, query: dict[str, list[str]]) -> tuple[int, bytes, str]:
        number = int(query.get("continuation-token", ["0"])[0])
        if number in self.refused_pages:
            return _error(*self.refused_pages[number])
        prefix = query.get("prefix", [""])[0]
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        page = keys[number * PAGE : (number + 1) * PAGE]
        more = len(keys) > (number + 1) * PAGE
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{NEWEST}</LastModified>"
            f"<ETag>&quot;{etag(self.objects[key])}&quot;</ETag><Size>{len(self.objects[key])}</Size></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{number + 1}</NextContinuationToken>" if more else ""
        truncated = str(more).lower()
        body = f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{token}{entries}</ListBucketResult>"
        return 200, body.encode(), ""


def etag(data: bytes) -> str:
    """As S3 makes it of an object that was put at once."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _error(status: int, code: str) -> tuple[int, bytes, str]:
    return status, f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode(), ""


@contextmanager
def small_s3() -> Iterator[SmallS3]:
    """Serves it until the end."""
    held = SmallS3()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = urlsplit(self.path)
            status, body, tag = held.answer(unquote(said.path).lstrip("/"), parse_qs(said.query))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT")
            if tag:
                self.send_header("ETag", f'"{tag}"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
