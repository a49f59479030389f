"""``python -m <service>.admin init|check``: a service's stores, created or compared with what it expects.

Prints one JSON object, ``{"created": […]}`` or ``{"differences": […]}``, and exits 0, 1 when something differs (or
can't be created as it is), 2 when the profile is another one than ``cluster``, 75 (EX_TEMPFAIL) when a server can't
be reached, 78 when the settings can't be used. What failed is ``{"error": …, "reason": …}``.
``headwater admin`` runs these commands for all services and shows the results.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from chassis.errors import DeadlineExceeded, DependencyUnavailable, HeadwaterError, Overloaded
from chassis.settings import EXIT_CONFIGURATION, ConfigurationError, ServiceSettings, read_settings

EXIT_DIFFERENT: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 75
_SECONDS: Final = 120.0

S = TypeVar("S", bound=ServiceSettings)


def administer(
    cls: type[S], create: Callable[[S], Awaitable[list[str]]], differences: Callable[[S], Awaitable[list[str]]]
) -> int:
    """Runs one command and returns its exit code.

    Args:
        cls: The service's settings.
        create: Creates what is missing and names it.
        differences: Names what differs from what is expected.
    """
    parser = argparse.ArgumentParser(prog=f"{cls.service_name}.admin", description=__doc__)
    parser.add_argument("command", choices=("init", "check"))
    command = parser.parse_args().command
    try:
        settings = read_settings(cls)
        if settings.profile != "cluster":
            # "Nothing differs" would be a lie: nothing would have been looked at.
            return _failed(
                f"The profile is {settings.profile}, whose engines make what they need when they are opened: there is "
                f"nothing to {command}. For the servers of a cluster set HEADWATER_PROFILE=cluster.",
                "NOT_CLUSTER_PROFILE",
                EXIT_USAGE,
            )
        found = asyncio.run(_within(create(settings) if command == "init" else differences(settings)))
    except ConfigurationError as error:
        return _failed(str(error), "CONFIGURATION", EXIT_CONFIGURATION)
    except TimeoutError:
        return _failed(f"A server did not answer within {_SECONDS:.0f} s.", "TIMEOUT", EXIT_UNREACHABLE)
    except (DependencyUnavailable, Overloaded, DeadlineExceeded) as error:
        return _failed(error.message, error.reason, EXIT_UNREACHABLE)
    except HeadwaterError as error:
        return _failed(error.message, error.reason, EXIT_DIFFERENT)
    sys.stdout.write(json.dumps({"created" if command == "init" else "differences": found}) + "\n")
    return EXIT_DIFFERENT if command == "check" and found else 0


async def _within(work: Awaitable[list[str]]) -> list[str]:
    async with asyncio.timeout(_SECONDS):
        return await work


def _failed(message: str, reason: str, code: int) -> int:
    sys.stdout.write(json.dumps({"error": message, "reason": reason}) + "\n")
    return code
