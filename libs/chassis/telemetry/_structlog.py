"""structlog without rich, which it imports wherever it finds it, for coloured tracebacks that no service prints: a
third of a second of a core and 8 MB in each process."""

from __future__ import annotations

import sys

if "rich" in sys.modules:
    import structlog
else:
    sys.modules["rich"] = None  # type: ignore[assignment]  # documented: an import of it then fails
    try:
        import structlog
    finally:
        del sys.modules["rich"]

__all__ = ["structlog"]
