"""How much is tried: a little with every test run, much by ``make fuzz``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

from hypothesis import HealthCheck, Phase, settings

LONG: Final = os.environ.get("HEADWATER_FUZZ") == "long"
"""Set by ``make fuzz``."""


Test = TypeVar("Test", bound=Callable[..., None])


def tried(short: int, long: int) -> Callable[[Test], Test]:
    """So many examples. A failing one is printed as it is in the short form, and made smaller in the long one."""
    phases = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if LONG else [])]
    chosen: Callable[[Test], Test] = settings(
        max_examples=long if LONG else short,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    return chosen
