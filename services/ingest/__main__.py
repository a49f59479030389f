"""Runs the ingest service: ``python -m ingest``."""

import sys

from chassis.lifecycle import run
from chassis.settings import load_settings
from ingest.main import serve
from ingest.settings import IngestSettings

if __name__ == "__main__":
    settings = load_settings(IngestSettings)
    sys.exit(run(lambda lifecycle: serve(lifecycle, settings), settings))
