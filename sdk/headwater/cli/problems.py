"""How commands fail: one line that says what is wrong, one that says what to do, and an exit code that means something.

0  done                      4  not found
1  a check did not pass      5  not reachable, or overloaded: try again
2  wrong usage or input      6  partly done: some documents were refused (each is named)
3  not allowed
"""

from __future__ import annotations

from headwater.errors import (
    HeadwaterError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    TimeoutExceededError,
    UnauthenticatedError,
    UnavailableError,
)

EXIT_CHECK_FAILED = 1
EXIT_USAGE = 2
EXIT_DENIED = 3
EXIT_NOT_FOUND = 4
EXIT_UNAVAILABLE = 5
EXIT_PARTIAL = 6

_EXIT_CODES: dict[type[HeadwaterError], int] = {
    InvalidRequestError: EXIT_USAGE,
    PermissionDeniedError: EXIT_DENIED,
    UnauthenticatedError: EXIT_DENIED,
    NotFoundError: EXIT_NOT_FOUND,
    OverloadedError: EXIT_UNAVAILABLE,
    UnavailableError: EXIT_UNAVAILABLE,
    TimeoutExceededError: EXIT_UNAVAILABLE,
}


class CommandError(Exception):
    """A command can't go on. ``hint`` names the next step."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code


def exit_code_of(error: HeadwaterError) -> int:
    """Exit code for a failed call."""
    return next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), EXIT_CHECK_FAILED)
