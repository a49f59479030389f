"""Runs the retriever: ``python -m retriever``."""

import sys

from chassis.lifecycle import run
from chassis.settings import load_settings
from retriever.main import serve
from retriever.settings import RetrieverSettings

if __name__ == "__main__":
    settings = load_settings(RetrieverSettings)
    sys.exit(run(lambda lifecycle: serve(lifecycle, settings), settings))
