"""``python -m embedder``: runs the embedder."""

import sys

from chassis.lifecycle import run
from chassis.settings import load_settings
from embedder.main import serve
from embedder.settings import EmbedderSettings


def main() -> int:
    """Runs until told to stop; returns the exit code."""
    settings = load_settings(EmbedderSettings)
    return run(lambda lifecycle: serve(lifecycle, settings), settings)


if __name__ == "__main__":
    sys.exit(main())
