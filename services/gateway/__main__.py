"""``python -m gateway``: runs the gateway."""

import sys

from chassis.lifecycle import run
from chassis.settings import load_settings
from gateway.main import serve
from gateway.settings import GatewaySettings


def main() -> int:
    """Runs until told to stop; returns the exit code."""
    settings = load_settings(GatewaySettings)
    return run(lambda lifecycle: serve(lifecycle, settings), settings)


if __name__ == "__main__":
    sys.exit(main())
