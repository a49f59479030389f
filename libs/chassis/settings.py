"""Settings of a service: typed, read once at start, refused as a whole when anything in them is unknown.

Sources, strongest first:

1. ``HEADWATER_<SERVICE>_<FIELD>`` in the environment,
2. ``HEADWATER_<FIELD>`` in the environment, shared by all services,
3. files in the directory ``HEADWATER_SECRETS_DIR``, named ``<service>_<field>`` or ``<field>``, one secret each;
   ``kafka__password`` is a field of an endpoint,
4. the table ``[<service>]`` of the TOML file ``HEADWATER_CONFIG``, then its table ``[common]``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NoReturn, TypeVar, cast

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from chassis.addresses import Address, is_loopback
from chassis.endpoints import ENDPOINTS
from chassis.telemetry.redaction import redacted

SERVICES: Final = ("embedder", "gateway", "ingest", "reranker", "retriever")
"""Tables a configuration file may have beside [common]; one file serves all services."""
_PREFIX: Final = "HEADWATER_"
_CONFIG_VARIABLE: Final = "HEADWATER_CONFIG"
_SECRETS_VARIABLE: Final = "HEADWATER_SECRETS_DIR"
EXIT_CONFIGURATION: Final = 78
"""EX_CONFIG of sysexits.h."""

S = TypeVar("S", bound="ServiceSettings")


class ConfigurationError(Exception):
    """The settings can't be used. The message names each field and what is wrong, never a value."""


class ServiceSettings(BaseSettings):
    """What every service can be told. A service subclasses it and sets ``service_name``.

    Attributes:
        profile: Which engines stand behind the ports.
        data_dir: Where the embedded engines, keys, traces and run files live.
        development: Named development identity and server reflection; binds to loopback only.
        listen: gRPC address, ``host:port``; port 0 takes a free one.
        metrics_listen: Address of ``/metrics``, ``/healthz`` and ``/readyz``.
        log_level: Lowest level that is logged.
        drain_seconds: Whole budget from SIGTERM to exit.
        max_in_flight: RPCs worked on at once; more are refused with a retry delay.
        trace_files: Whether spans go to ``data_dir/traces/<service>.jsonl``.
        otlp_endpoint: OTLP/gRPC collector for spans, ``http://host:port``; empty for none.
        trace_sample_ratio: Share of traces started here that are recorded; a caller's decision is kept.
        trace_content: Whether spans may hold text of questions and documents.
        internal_keys_dir: Keys of internal identity tokens; see ``keys_dir``.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_nested_delimiter="__", validate_default=True)
    service_name: ClassVar[str]

    profile: Literal["embedded", "cluster"] = "embedded"
    data_dir: Path = Path(".headwater")
    development: bool = False
    listen: str = "127.0.0.1:0"
    metrics_listen: str = "127.0.0.1:0"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    drain_seconds: float = Field(default=10.0, gt=0)
    max_in_flight: int = Field(default=64, gt=0)
    trace_files: bool = True
    otlp_endpoint: str = ""
    trace_sample_ratio: float = Field(default=1.0, ge=0, le=1)
    trace_content: bool = False
    internal_keys_dir: Path | None = None

    @property
    def keys_dir(self) -> Path:
        """Directory of the internal identity keys."""
        return self.internal_keys_dir or self.data_dir / "keys"

    @model_validator(mode="after")
    def _bind_to_loopback_in_development(self) -> ServiceSettings:
        for name in ("listen", "metrics_listen"):
            address = Address.parse(getattr(self, name))
            if self.development and not is_loopback(address.host):
                raise ValueError(
                    f"{name}: development mode has an identity that needs no proof, so it binds to loopback only; "
                    "use 127.0.0.1 or [::1], or turn development off"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del env_settings, dotenv_settings, file_secret_settings
        secrets = os.environ.get(_SECRETS_VARIABLE)
        if secrets and not Path(secrets).is_dir():
            raise ConfigurationError(f"{_SECRETS_VARIABLE}: there is no such directory")
        # Typed for another source, and accepts the class of the settings just as well.
        owner = cast(PydanticBaseSettingsSource, settings_cls)
        return (
            init_settings,
            EnvSettingsSource(settings_cls, env_prefix=_service_prefix(cls)),
            EnvSettingsSource(settings_cls, env_prefix=_PREFIX),
            NestedSecretsSettingsSource(owner, secrets, secrets_prefix=f"{cls.service_name}_"),
            NestedSecretsSettingsSource(owner, secrets, secrets_prefix=""),
            InitSettingsSource(settings_cls, init_kwargs=_from_file(cls, os.environ.get(_CONFIG_VARIABLE, ""))),
        )


def load_settings(cls: type[S], argv: Sequence[str] | None = None) -> S:
    """Reads the settings of a service, for its ``__main__.py``.

    ``--print-config`` prints them as JSON with secrets redacted and exits 0. Settings that can't be used are explained
    on standard error, without their values, and exit 78 (EX_CONFIG).
    """
    parser = argparse.ArgumentParser(prog=cls.service_name, description=f"Runs the {cls.service_name} service.")
    parser.add_argument("--print-config", action="store_true", help="print the effective settings and exit")
    arguments = parser.parse_args(argv)
    try:
        settings = read_settings(cls)
    except ConfigurationError as error:
        _refuse(cls.service_name, str(error))
    if arguments.print_config:
        sys.stdout.write(print_config(settings) + "\n")
        raise SystemExit(0)
    return settings


def read_settings(cls: type[S]) -> S:
    """As ``load_settings``, without a command line. Raises ConfigurationError."""
    _refuse_unknown_variables(cls, os.environ)
    try:
        return cls()
    except ValidationError as error:
        # include_input would print the value that was refused, which may be a secret.
        lines = [_line(cls, problem) for problem in error.errors(include_url=False, include_input=False)]
        raise ConfigurationError("\n".join(lines)) from None
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def require_endpoints(settings: ServiceSettings, required: dict[str, tuple[str, ...]]) -> None:
    """Raises ValueError that names what the cluster profile lacks."""
    if settings.profile != "cluster":
        return
    values: dict[str, Any] = {name: getattr(settings, name) for name in required}
    missing = [
        f"HEADWATER_{name.upper()}__{field.upper()}"
        for name, fields in required.items()
        for field in fields
        if not getattr(values[name], field)
    ]
    if missing:
        raise ValueError(f"the cluster profile needs {', '.join(missing)}")


def print_config(settings: ServiceSettings) -> str:
    """The effective settings as JSON, secrets redacted."""
    return json.dumps(redacted(settings.model_dump(mode="json")), indent=2, sort_keys=True)


def _line(cls: type[ServiceSettings], problem: Mapping[str, Any]) -> str:
    path = "__".join(str(part) for part in problem["loc"])
    name = f"{_service_prefix(cls)}{path.upper()}: " if path else ""
    return name + str(problem["msg"]).removeprefix("Value error, ")


def _service_prefix(cls: type[ServiceSettings]) -> str:
    return f"{_PREFIX}{cls.service_name.upper()}_"


def _refuse_unknown_variables(cls: type[ServiceSettings], environment: Mapping[str, str]) -> None:
    prefix = _service_prefix(cls)
    # HEADWATER_<SERVICE>_TARGET is where others find this service: the field "<service>_target" of theirs, not one of
    # ours.
    unknown = [
        name
        for name in environment
        if name.upper().startswith(prefix)
        and name.upper() != f"{prefix}TARGET"
        and name.upper().removeprefix(prefix).split("__")[0].lower() not in cls.model_fields
    ]
    if unknown:
        raise ConfigurationError(
            "\n".join(f"{name}: the {cls.service_name} has no such setting" for name in sorted(unknown))
        )


def _from_file(cls: type[ServiceSettings], path: str) -> dict[str, Any]:
    if not path:
        return {}
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{_CONFIG_VARIABLE}: the file can't be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{_CONFIG_VARIABLE}: the file is not TOML ({_position(error)})") from None
    tables = {"common", cls.service_name, *SERVICES}
    problems = [
        f"[{name}]: no such table"
        for name, table in content.items()
        if name not in tables or not isinstance(table, dict)
    ]
    common, own = content.get("common", {}), content.get(cls.service_name, {})
    shared = {*ServiceSettings.model_fields, *cls.model_fields, *ENDPOINTS, *(f"{name}_target" for name in SERVICES)}
    problems += [f"[common] {key}: no such setting" for key in common if key not in shared]
    problems += [f"[{cls.service_name}] {key}: no such setting" for key in own if key not in cls.model_fields]
    if problems:
        raise ConfigurationError("\n".join(f"{_CONFIG_VARIABLE}: {problem}" for problem in problems))
    return {**{key: value for key, value in common.items() if key in cls.model_fields}, **own}


def _position(error: Exception) -> str:
    # TOMLDecodeError's text may quote the file; its end, "(at line 3, column 7)", does not.
    text = str(error)
    return text[text.rfind("(at") :].strip("()") if "(at" in text else "not readable as UTF-8"


def _refuse(service_name: str, message: str) -> NoReturn:
    sys.stderr.write(f"{service_name}: the settings can't be used\n")
    sys.stderr.writelines(f"  {line}\n" for line in message.splitlines())
    raise SystemExit(EXIT_CONFIGURATION)
