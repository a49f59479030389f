from __future__ import annotations

import json
import os
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from chassis.endpoints import KafkaEndpoint
from chassis.settings import ConfigurationError, ServiceSettings, load_settings, read_settings


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tokens: int = 1


class GatewaySettings(ServiceSettings):
    service_name: ClassVar[str] = "gateway"

    kafka: KafkaEndpoint = KafkaEndpoint()

    retriever_target: str = "127.0.0.1:1"
    llm_api_key: SecretStr = SecretStr("")
    cache_url: str = ""
    limits: Limits = Limits()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HEADWATER_"):
            monkeypatch.delenv(name)


def _file(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "headwater.toml").write_text(content)
    monkeypatch.setenv("HEADWATER_CONFIG", str(tmp_path / "headwater.toml"))


def test_defaults_need_no_environment() -> None:
    settings = read_settings(GatewaySettings)
    assert settings.profile == "embedded"
    assert settings.keys_dir == settings.data_dir / "keys"


def test_the_service_s_own_variable_wins_over_the_shared_one_and_that_over_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _file(
        tmp_path,
        '[common]\ndrain_seconds = 1\nmax_in_flight = 1\nlog_level = "ERROR"\n'
        "[gateway]\ndrain_seconds = 2\nmax_in_flight = 2\n[gateway.limits]\ntokens = 7\n",
        monkeypatch,
    )
    monkeypatch.setenv("HEADWATER_MAX_IN_FLIGHT", "3")
    assert read_settings(GatewaySettings).max_in_flight == 3
    monkeypatch.setenv("HEADWATER_GATEWAY_MAX_IN_FLIGHT", "4")
    settings = read_settings(GatewaySettings)
    assert (settings.max_in_flight, settings.drain_seconds, settings.log_level) == (4, 2, "ERROR")
    assert settings.limits.tokens == 7
    monkeypatch.setenv("HEADWATER_GATEWAY_LIMITS__TOKENS", "8")
    assert read_settings(GatewaySettings).limits.tokens == 8


def test_a_secret_is_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llm_api_key").write_text("shared")
    monkeypatch.setenv("HEADWATER_SECRETS_DIR", str(tmp_path))
    assert read_settings(GatewaySettings).llm_api_key.get_secret_value() == "shared"
    (tmp_path / "gateway_llm_api_key").write_text("own")
    assert read_settings(GatewaySettings).llm_api_key.get_secret_value() == "own"


def test_a_secret_of_an_endpoint_is_read_from_its_file_and_weaker_than_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _file(tmp_path, "[common.kafka]\nbootstrap_servers = 'k:1'\nusername = 'file'\npassword = 'file'\n", monkeypatch)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    monkeypatch.setenv("HEADWATER_SECRETS_DIR", str(secrets))

    def kafka() -> tuple[str, str, str]:
        endpoint = read_settings(GatewaySettings).kafka
        return endpoint.bootstrap_servers, endpoint.username, endpoint.password.get_secret_value()

    assert kafka() == ("k:1", "file", "file")
    (secrets / "kafka__password").write_text("shared\n")
    assert kafka() == ("k:1", "file", "shared")
    (secrets / "gateway_kafka__password").write_text("own\n")
    assert kafka() == ("k:1", "file", "own")
    monkeypatch.setenv("HEADWATER_KAFKA__PASSWORD", "shared variable")
    assert kafka() == ("k:1", "file", "shared variable")
    monkeypatch.setenv("HEADWATER_GATEWAY_KAFKA__PASSWORD", "own variable")
    assert kafka() == ("k:1", "file", "own variable")


def test_secrets_are_found_where_kubernetes_mounts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "..2026_11_21").mkdir()
    (tmp_path / "..2026_11_21" / "kafka__password").write_text("hunter2")
    (tmp_path / "..data").symlink_to("..2026_11_21")
    (tmp_path / "kafka__password").symlink_to("..data/kafka__password")
    monkeypatch.setenv("HEADWATER_SECRETS_DIR", str(tmp_path))
    assert read_settings(GatewaySettings).kafka.password.get_secret_value() == "hunter2"


def test_a_secret_s_file_that_names_no_setting_is_left_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("weaviate__api_key", "gatewayish", "unrelated.pem"):
        (tmp_path / name).write_text("x")
    monkeypatch.setenv("HEADWATER_SECRETS_DIR", str(tmp_path))
    assert read_settings(GatewaySettings).kafka == KafkaEndpoint()


def test_a_secret_that_is_refused_is_not_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kafka__pasword").write_text("hunter2")
    monkeypatch.setenv("HEADWATER_SECRETS_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match="HEADWATER_GATEWAY_KAFKA__PASWORD: Extra inputs") as caught:
        read_settings(GatewaySettings)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_variable_with_the_service_s_prefix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_GATEWAY_MAX_INFLIGHT", "5")
    with pytest.raises(ConfigurationError, match="HEADWATER_GATEWAY_MAX_INFLIGHT: the gateway has no such setting"):
        read_settings(GatewaySettings)


def test_variables_of_other_services_and_the_addresses_of_peers_are_no_concern(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADWATER_INGEST_WORKERS", "5")
    monkeypatch.setenv("HEADWATER_GATEWAY_TARGET", "127.0.0.1:7000")
    monkeypatch.setenv("HEADWATER_RETRIEVER_TARGET", "127.0.0.1:7001")
    assert read_settings(GatewaySettings).retriever_target == "127.0.0.1:7001"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[gateway]\nlisten_port = 1\n", r"\[gateway\] listen_port: no such setting"),
        ("[common]\nlisten_port = 1\n", r"\[common\] listen_port: no such setting"),
        ("[gatewy]\nlisten = 'x'\n", r"\[gatewy\]: no such table"),
        ("listen = '127.0.0.1:1'\n", r"\[listen\]: no such table"),
        ("[gateway\n", "not TOML"),
        ("[gateway.limits]\ntoken = 1\n", "HEADWATER_GATEWAY_LIMITS__TOKEN: Extra inputs"),
    ],
)
def test_unknown_keys_in_the_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, complaint: str
) -> None:
    _file(tmp_path, content, monkeypatch)
    with pytest.raises(ConfigurationError, match=complaint):
        read_settings(GatewaySettings)


def test_tables_of_other_services_and_shared_targets_are_left_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _file(tmp_path, "[ingest]\nworkers = 3\n[common]\nembedder_target = 'x:1'\nretriever_target = 'r:1'\n", monkeypatch)
    assert read_settings(GatewaySettings).retriever_target == "r:1"


def test_settings_that_can_not_be_used_exit_78_and_name_the_variable_but_not_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADWATER_GATEWAY_DRAIN_SECONDS", "hunter2")
    with pytest.raises(SystemExit) as exit_:
        load_settings(GatewaySettings, [])
    assert exit_.value.code == 78
    complaint = capsys.readouterr().err
    assert "HEADWATER_GATEWAY_DRAIN_SECONDS" in complaint
    assert "hunter2" not in complaint


@pytest.mark.parametrize("listen", ["localhost", "127.0.0.1:", ":50051", "127.0.0.1:99999", "127.0.0.1:-1"])
def test_an_address_that_is_none_is_refused(listen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_LISTEN", listen)
    with pytest.raises(ConfigurationError, match="host:port"):
        read_settings(GatewaySettings)


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.com:1"])
def test_development_mode_refuses_what_can_be_reached_from_elsewhere(
    listen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_DEVELOPMENT", "true")
    monkeypatch.setenv("HEADWATER_GATEWAY_LISTEN", listen)
    with pytest.raises(ConfigurationError, match="loopback"):
        read_settings(GatewaySettings)


def test_print_config_shows_everything_but_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADWATER_GATEWAY_LLM_API_KEY", "hunter2")
    monkeypatch.setenv("HEADWATER_GATEWAY_CACHE_URL", "redis://user:hunter2@cache:6379/0")
    with pytest.raises(SystemExit) as exit_:
        load_settings(GatewaySettings, ["--print-config"])
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert "hunter2" not in printed
    assert json.loads(printed)["cache_url"] == "redis://cache:6379/0"
    assert set(json.loads(printed)) == set(GatewaySettings.model_fields)


def test_a_table_of_an_endpoint_that_only_other_services_need_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _file(tmp_path, '[common.kafka]\nbootstrap_servers = "broker:9092"\n', monkeypatch)
    assert read_settings(GatewaySettings).profile == "embedded"
    _file(tmp_path, '[common.kafak]\nbootstrap_servers = "broker:9092"\n', monkeypatch)
    with pytest.raises(ConfigurationError, match="kafak"):
        read_settings(GatewaySettings)
