"""``python -m reranker``: runs the reranker."""

import sys

from chassis.lifecycle import run
from chassis.settings import load_settings
from reranker.main import serve
from reranker.settings import RerankerSettings


def main() -> int:
    """Runs until told to stop; returns the exit code."""
    settings = load_settings(RerankerSettings)
    return run(lambda lifecycle: serve(lifecycle, settings), settings)


if __name__ == "__main__":
    sys.exit(main())
