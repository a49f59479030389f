from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from tests.unit.chassis.echo import CALLER, Echo, EchoSettings, EchoStub, FrontendSettings, running_echo

from chassis.errors import DependencyUnavailable, NotFound
from chassis.rpc.client import call, open_channel
from chassis.telemetry import (
    Telemetry,
    current_trace_id,
    extract,
    inject,
    logger,
    metrics,
    set_content,
    setup,
    tracer,
    tracing,
)
from chassis.telemetry.instruments import UndeclaredLabelError, declared
from chassis.telemetry.redaction import REDACTED, redacted
from chassis.telemetry.trace_file import JsonLinesSpanExporter


@pytest.fixture
def telemetry(tmp_path: Path) -> Iterator[Telemetry]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    started = setup(EchoSettings(data_dir=tmp_path / "data"))
    yield started
    started.shutdown()
    root.handlers[:], root.level = handlers, level
    tracing.use(trace.NoOpTracerProvider())


def _spans(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "data/traces/echo.jsonl").read_text().splitlines()]


def _logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_one_trace_leads_through_two_hops(telemetry: Telemetry, tmp_path: Path) -> None:
    async with running_echo(tmp_path / "back") as back:

        async def ask_further(request: bytes) -> bytes:
            return await call(back.stub.Say, request, timeout_seconds=10)

        async with (
            running_echo(tmp_path / "middle", Echo(ask_further), internal_keys_dir=tmp_path / "back/keys") as middle,
            open_channel(middle.target, settings=FrontendSettings(data_dir=tmp_path / "back")) as channel,
        ):
            with tracer("test").start_as_current_span("question"):
                trace_id = current_trace_id()
                await call(EchoStub(channel).Say, b"", timeout_seconds=10, as_caller=CALLER)
    telemetry.flush()
    spans = {span["span_id"]: span for span in _spans(tmp_path)}
    assert {span["trace_id"] for span in spans.values()} == {trace_id}
    leaf = next(iter(set(spans) - {span["parent_id"] for span in spans.values()}))
    path = []
    while leaf:
        path.append((spans[leaf]["kind"], spans[leaf]["name"]))
        leaf = spans[leaf]["parent_id"]
    assert path == [
        ("server", "test.Echo/Say"),
        ("client", "test.Echo/Say"),
        ("server", "test.Echo/Say"),
        ("client", "test.Echo/Say"),
        ("internal", "question"),
    ]


async def test_a_failed_rpc_is_an_error_on_its_span_with_its_reason(telemetry: Telemetry, tmp_path: Path) -> None:
    async def fail(_request: bytes) -> bytes:
        raise NotFound("no such thing", reason="NO_SUCH_THING")

    async with running_echo(tmp_path, Echo(fail)) as running:
        with pytest.raises(NotFound):
            await call(running.stub.Say, b"", timeout_seconds=10, as_caller=CALLER)
    telemetry.flush()
    for span in _spans(tmp_path):
        assert span["status"] == "error"
        assert span["attributes"]["headwater.error.reason"] == "NO_SUCH_THING"
    assert len(_spans(tmp_path)) == 2


async def test_metrics_of_rpcs_carry_the_declared_names(telemetry: Telemetry, tmp_path: Path) -> None:
    async with running_echo(tmp_path) as running:
        await call(running.stub.Say, b"", timeout_seconds=10, as_caller=CALLER)
    text = prometheus_client.generate_latest(telemetry.registry).decode()
    assert 'headwater_rpc_server_requests_total{code="OK",method="test.Echo/Say"' in text
    assert 'headwater_rpc_server_duration_seconds_count{method="test.Echo/Say"' in text
    assert 'headwater_rpc_client_duration_seconds_count{code="OK",method="test.Echo/Say"' in text
    assert "headwater_process_memory_bytes" in text
    assert "headwater_process_cpu_seconds" in text


def test_every_declared_metric_is_named_described_and_small(telemetry: Telemetry) -> None:
    for metric in declared():
        assert metric.name.startswith("headwater.")
        assert metric.description.endswith(".")
        assert metric.unit
        assert len(metric.labels) <= 3


def test_a_metric_refuses_labels_it_does_not_declare(telemetry: Telemetry) -> None:
    for labels in ({}, {"method": "a"}, {"method": "a", "code": "OK", "tenant": "acme"}):
        with pytest.raises(UndeclaredLabelError):
            metrics.RPC_SERVER_REQUESTS.add(1, **labels)


def test_logs_are_json_with_service_and_trace(telemetry: Telemetry, capsys: pytest.CaptureFixture[str]) -> None:
    with tracer("test").start_as_current_span("work"):
        trace_id = current_trace_id()
        logger("test").info("something happened", count=3)
        logging.getLogger("a.library").warning("trouble with %s", "things")
    ours, theirs = _logged(capsys)
    assert ours["event"] == "something happened"
    assert (ours["service"], ours["level"], ours["count"], ours["component"]) == ("echo", "info", 3, "test")
    assert ours["trace_id"] == theirs["trace_id"] == trace_id
    assert (theirs["event"], theirs["logger"]) == ("trouble with things", "a.library")


def test_secrets_and_content_stay_out_of_the_logs(telemetry: Telemetry, capsys: pytest.CaptureFixture[str]) -> None:
    jwt = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2ln"
    logger("test").info(
        "it happened",
        api_key="hunter2",
        password="hunter2",
        headers={"Authorization": "hunter2", "x-headwater-identity": "hunter2"},
        query="hunter2 in the question",
        passages=["hunter2"],
        note=f"sent Bearer {jwt} to redis://user:hunter2@cache",
        tokens=512,
    )
    output = capsys.readouterr().out
    assert "hunter2" not in output
    assert jwt not in output
    assert json.loads(output)["tokens"] == 512


def test_the_text_of_an_exception_stays_out_of_the_logs_unless_it_is_ours(
    telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        try:
            raise ValueError("private text")
        except ValueError as error:
            raise DependencyUnavailable("The store is down.", reason="STORE_DOWN") from error
    except DependencyUnavailable:
        logger("test").exception("it failed")
        logging.getLogger("a.library").exception("it failed there too")
    for entry in _logged(capsys):
        assert "private text" not in json.dumps(entry)
        assert "ValueError" in entry["traceback"]
        assert "STORE_DOWN: The store is down." in entry["traceback"]
        assert Path(__file__).name in entry["traceback"]


@pytest.mark.parametrize(
    "name", ["token", "access_token", "API-KEY", "apiKey", "db_password", "set-cookie", "private_key"]
)
def test_names_that_look_secret_are_redacted(name: str) -> None:
    assert redacted({name: "x"}) == {name: REDACTED}


@pytest.mark.parametrize("name", ["tokens", "max_tokens", "keys_dir", "key_id", "author", "tokenizer"])
def test_names_that_only_resemble_secrets_are_kept(name: str) -> None:
    assert redacted({name: "x"}) == {name: "x"}


def test_trace_context_travels_with_a_record_and_damaged_headers_start_anew(telemetry: Telemetry) -> None:
    headers: dict[str, bytes] = {}
    inject(headers)
    assert headers == {}
    with tracer("test").start_as_current_span("append"):
        inject(headers)
        trace_id = current_trace_id()
    with tracer("test").start_as_current_span("consume", context=extract(headers)):
        assert current_trace_id() == trace_id
    for damaged in ({}, {"traceparent": b"\xff"}, {"traceparent": b"00-0-0-00"}):
        with tracer("test").start_as_current_span("consume", context=extract(damaged)):
            assert current_trace_id() not in ("", trace_id)


def test_content_is_on_spans_only_when_allowed(tmp_path: Path) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(JsonLinesSpanExporter(tmp_path / "t.jsonl", "echo")))
    for allowed in (False, True):
        tracing.allow_content(allowed)
        with provider.get_tracer("test").start_as_current_span("ask") as span:
            set_content(span, "input.value", "what is it")
    tracing.allow_content(False)
    without, with_ = (json.loads(line)["attributes"] for line in (tmp_path / "t.jsonl").read_text().splitlines())
    assert without == {"input.value.length": 10}
    assert with_ == {"input.value.length": 10, "input.value": "what is it"}


def test_span_files_keep_events_and_links_and_rotate_without_losing_a_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    exporter = JsonLinesSpanExporter(path, "echo", max_file_bytes=2000, kept_files=50)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = provider.get_tracer("test")
    with spans.start_as_current_span("upload") as upload:
        link = trace.Link(upload.get_span_context(), {"chunk": "c1"})
    for number in range(40):
        with spans.start_as_current_span(f"ask {number}", links=[link]) as span:
            span.add_event("degraded", {"leg": "lexical"})
            span.set_attribute("scores", [0.5, 0.25])
    files = list(tmp_path.glob("t.jsonl*"))
    records = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(files) > 3
    assert {record["name"] for record in records} == {"upload", *(f"ask {n}" for n in range(40))}
    asked = next(record for record in records if record["name"] == "ask 7")
    linked = upload.get_span_context()
    assert asked["links"] == [
        {
            "trace_id": trace.format_trace_id(linked.trace_id),
            "span_id": trace.format_span_id(linked.span_id),
            "attributes": {"chunk": "c1"},
        }
    ]
    assert asked["events"][0]["name"] == "degraded"
    assert asked["attributes"]["scores"] == [0.5, 0.25]
    assert asked["end_ns"] >= asked["start_ns"] > 0


def test_old_span_files_are_dropped(tmp_path: Path) -> None:
    exporter = JsonLinesSpanExporter(tmp_path / "t.jsonl", "echo", max_file_bytes=1, kept_files=2)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for number in range(6):
        provider.get_tracer("test").start_span(f"{number}").end()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["t.jsonl.1", "t.jsonl.2"]
    assert json.loads((tmp_path / "t.jsonl.1").read_text())["name"] == "5"
