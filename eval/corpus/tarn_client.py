"""Small Python client for version 2 of the Basin HTTP API.

It needs Python 3.11 or newer and the httpx package. The client reads its token from the
environment variable TARN_TOKEN, waits when the service asks it to, and follows cursors, so a
caller sees one plain iterator of readings.

Example:
    with BasinClient() as basin:
        for reading in basin.readings("Q2-00A41F09", channel="ph", start=last_monday):
            print(reading.time, reading.value)
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import httpx

BASE_URL = "https://api.tarnwell.example/v2"
# The service refuses raw windows longer than this with the code window_too_long.
MAX_RAW_WINDOW = timedelta(days=31)
# Five tries with the pauses below add up to about half a minute: longer than any deployment of the API.
MAX_TRIES = 5
RETRY_STATUS = frozenset({429, 502, 503, 504})


class BasinError(Exception):
    """An answer with an error code that a caller can act on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured value in SI units; value is None when the quality is missing."""

    time: datetime
    value: float | None
    quality: str


class BasinClient:
    """A connection to one account. Safe to use from one thread at a time."""

    def __init__(self, token: str | None = None, timeout_seconds: float = 20.0) -> None:
        secret = token or os.environ.get("TARN_TOKEN")
        if not secret:
            raise BasinError("token_missing", "set TARN_TOKEN or pass a token")
        self._http = httpx.Client(
            base_url=BASE_URL, timeout=timeout_seconds, headers={"Authorization": f"Bearer {secret}"}
        )

    def __enter__(self) -> BasinClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def readings(self, sensor_id: str, channel: str, start: datetime, end: datetime | None = None) -> Iterator[Reading]:
        """Yields raw readings in order of time, splitting long windows into pieces of 31 days."""
        stop = end or datetime.now(UTC)
        while start < stop:
            piece_end = min(start + MAX_RAW_WINDOW, stop)
            yield from self._pages(sensor_id, channel, start, piece_end)
            start = piece_end

    def order_export(self, site: str, channels: list[str], start: datetime, end: datetime) -> str:
        """Orders a Parquet export and returns the id of the job.

        The idempotency key makes a repeat after a lost answer harmless: the service returns the first job.
        """
        body = {"sites": [site], "channels": channels, "from": _stamp(start), "to": _stamp(end), "format": "parquet"}
        answer = self._send("POST", "/exports", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
        return str(answer["id"])

    def wait_for_export(self, job_id: str, limit: timedelta = timedelta(hours=1)) -> str:
        """Polls every 10 seconds until the export is ready and returns the address of the file."""
        deadline = time.monotonic() + limit.total_seconds()
        while time.monotonic() < deadline:
            job = self._send("GET", f"/exports/{job_id}")
            if job["state"] == "ready":
                return str(job["url"])
            if job["state"] == "failed":
                raise BasinError("export_failed", str(job.get("reason", "no reason given")))
            time.sleep(10)
        raise BasinError("export_timeout", f"not ready after {limit}")

    def _pages(self, sensor_id: str, channel: str, start: datetime, end: datetime) -> Iterator[Reading]:
        query: dict[str, str] = {"channel": channel, "from": _stamp(start), "to": _stamp(end), "resolution": "raw"}
        while True:
            page = self._send("GET", f"/sensors/{sensor_id}/readings", params=query)
            for item in page["items"]:
                yield Reading(datetime.fromisoformat(item["time"]), item["value"], item["quality"])
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    def _send(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Sends one request and repeats it on overload, honouring the Retry-After header."""
        for attempt in range(MAX_TRIES):
            response = self._http.request(method, path, **options)
            if response.status_code not in RETRY_STATUS:
                break
            time.sleep(float(response.headers.get("Retry-After", 2**attempt)))
        if response.is_success:
            return dict(response.json())
        problem = response.json()
        raise BasinError(problem["code"], problem["message"])


def _stamp(moment: datetime) -> str:
    """Formats a moment as UTC with a trailing Z; a moment without a zone is refused, never guessed."""
    if moment.tzinfo is None:
        raise ValueError("give a time zone: the API speaks UTC only")
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
