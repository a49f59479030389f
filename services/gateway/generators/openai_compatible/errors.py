"""How an endpoint fails. No text of it is kept: it may quote the prompt."""

from __future__ import annotations


class EndpointError(Exception):
    """The endpoint failed."""


class EndpointBusyError(EndpointError):
    """It failed in a way that may pass."""


class EndpointRefusedError(EndpointError):
    """It refused this request, or was not given its time: that says nothing about the next."""
