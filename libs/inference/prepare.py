"""``python -m inference.prepare [MODEL …]``: makes what a first start would otherwise make and wait for.

Checks the weights against their pin and leaves the graph for this processor in the cache. Idempotent; exit code 1 and
one line of text where a model can't be used.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from chassis.errors import HeadwaterError
from inference.encoder import TextEncoder
from inference.model import DEFAULT_MODEL


def main(models: Sequence[str]) -> int:
    """Prepares each model, by default the one that comes with the package."""
    for model in models or [DEFAULT_MODEL]:
        began = time.monotonic()
        try:
            info = TextEncoder.load(model).info
        except HeadwaterError as error:
            sys.stderr.write(f"{model}: {error.message}\n")
            return 1
        seconds = time.monotonic() - began
        sys.stdout.write(f"{info.model_id} {info.revision} for {info.runtime}: ready after {seconds:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
