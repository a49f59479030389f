"""What the rules of the review queue find in a folder of documents, and what they cost. Prints one JSON object.

python -m bench.review_rules DIR
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from chassis.errors import HeadwaterError
from corpus.reviews import ReviewReason
from ingest.parsing.registry import parse_document
from ingest.reviews.quality import ReviewAction, ReviewPolicy


def main(folder: Path) -> None:
    """Parses every file, and applies the rules of its text."""
    policy = ReviewPolicy(dict.fromkeys(ReviewReason, ReviewAction.FLAG))
    seconds: list[float] = []
    found: Counter[str] = Counter()
    named: dict[str, str] = {}
    refused = 0
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            parsed = parse_document(path.read_bytes(), filename=path.name)
        except HeadwaterError:
            refused += 1
            continue
        began = time.perf_counter()
        findings = policy.findings(parsed, "", None, datetime.now(UTC))
        seconds.append(time.perf_counter() - began)
        for finding in findings:
            found[finding.reason.value] += 1
            named[str(path.relative_to(folder))] = f"{finding.reason.value}: {finding.detail}"
    milliseconds = sorted(1000 * each for each in seconds)
    print(
        json.dumps(
            {
                "documents": len(seconds),
                "refused": refused,
                "found": dict(found),
                "named": named,
                "median_ms": round(median(milliseconds), 2) if seconds else None,
                "longest_ms": round(milliseconds[-1], 2) if seconds else None,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
