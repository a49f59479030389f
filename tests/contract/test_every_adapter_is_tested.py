"""Every class that implements a port is in the list of its port's suite."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import chassis.cache
import chassis.cache.port
import chassis.eventlog
import chassis.eventlog.port
import chassis.objectstore
import chassis.objectstore.port
import corpus.adapters
import corpus.dead_letters
import corpus.ports
import corpus.pseudonyms
import corpus.reviews
import gateway.adapters
import gateway.costs.ports
import gateway.feedback.ports
import gateway.ports

SUITES: dict[type[object], tuple[ModuleType, str]] = {
    chassis.eventlog.port.EventLog: (chassis.eventlog, "test_event_log.py"),
    chassis.objectstore.port.ObjectStore: (chassis.objectstore, "test_object_store.py"),
    chassis.cache.port.Cache: (chassis.cache, "test_cache.py"),
    corpus.ports.HeadReads: (corpus.adapters, "test_heads.py"),
    corpus.ports.Heads: (corpus.adapters, "test_heads.py"),
    corpus.ports.ChunkStore: (corpus.adapters, "test_chunk_store.py"),
    corpus.ports.EmbeddingCache: (corpus.adapters, "test_embedding_cache.py"),
    corpus.ports.ChangeLedger: (corpus.adapters, "test_change_ledger.py"),
    corpus.dead_letters.DeadLetterStore: (corpus.adapters, "test_dead_letters.py"),
    corpus.dead_letters.KnownBadContent: (corpus.adapters, "test_known_bad.py"),
    corpus.dead_letters.Halts: (corpus.adapters, "test_halts.py"),
    corpus.pseudonyms.PseudonymStore: (corpus.adapters, "test_pseudonyms.py"),
    corpus.reviews.ReviewQueue: (corpus.adapters, "test_review_queue.py"),
    corpus.ports.Tenants: (corpus.adapters, "test_tenants.py"),
    corpus.ports.Generations: (corpus.adapters, "test_generations.py"),
    corpus.ports.VectorIndex: (corpus.adapters, "test_vector_index.py"),
    corpus.ports.LexicalIndex: (corpus.adapters, "test_lexical_index.py"),
    gateway.ports.AnswerLog: (gateway.adapters, "test_answer_log.py"),
    gateway.feedback.ports.FeedbackStore: (gateway.adapters, "test_feedback.py"),
    gateway.costs.ports.TokenLedger: (gateway.adapters, "test_token_ledger.py"),
    gateway.costs.ports.CostLog: (gateway.adapters, "test_cost_log.py"),
}
"""Port → package of its adapters, suite."""


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(info.name)


def parameters_of(cls: type[object]) -> dict[str, set[str]]:
    """Public methods and the names of their parameters: ports may share names of methods, hardly all of these too."""
    members = {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}
    return {name: set(inspect.signature(m).parameters) for name, m in members.items() if inspect.isfunction(m)}


def implements(cls: type[object], port: type[object]) -> bool:
    has = parameters_of(cls)
    return all(name in has and wanted <= has[name] for name, wanted in parameters_of(port).items())


def implementations(port: type[object]) -> set[str]:
    """Names of the classes that have every method of the port, wherever they are in its adapters' package."""
    return {
        name
        for module in modules(SUITES[port][0])
        for name, member in vars(module).items()
        if inspect.isclass(member)
        and member.__module__ == module.__name__
        and not getattr(member, "_is_protocol", False)
        and implements(member, port)
    }


def adapters_of(suite: Path) -> ast.expr:
    """The suite's ``(…)`` of ``ADAPTERS = (…)``."""
    for statement in ast.parse(suite.read_text()).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(target, ast.Name) and target.id == "ADAPTERS" for target in targets):
                assert statement.value is not None
                return statement.value
    raise AssertionError(f"{suite.name} has no list ADAPTERS")


def listed(suite: Path) -> set[str]:
    return {node.id for node in ast.walk(adapters_of(suite)) if isinstance(node, ast.Name)}


def listed_for_the_cluster(suite: Path) -> set[str]:
    """Names in those elements that are marked to need a server."""
    adapters = adapters_of(suite)
    assert isinstance(adapters, ast.Tuple)
    marked = [element for element in adapters.elts if "pytest.mark.cluster" in ast.unparse(element)]
    return {node.id for element in marked for node in ast.walk(element) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("port", SUITES, ids=lambda port: port.__name__)
def test_every_implementation_of_a_port_is_in_its_suite(port: type[object]) -> None:
    suite = Path(__file__).with_name(SUITES[port][1])
    found = implementations(port)
    assert found, f"no class implements {port.__name__}: did its methods change?"
    assert found <= listed(suite), f"missing in ADAPTERS of {suite.name}: {sorted(found - listed(suite))}"


@pytest.mark.parametrize("port", SUITES, ids=lambda port: port.__name__)
def test_every_port_has_an_adapter_in_its_suite_that_real_servers_run(port: type[object]) -> None:
    suite = Path(__file__).with_name(SUITES[port][1])
    on_servers = listed_for_the_cluster(suite) & implementations(port)
    assert on_servers, f"no adapter of {port.__name__} in {suite.name} is marked cluster"


def test_every_port_of_the_corpus_has_a_suite() -> None:
    ports = {
        member
        for module in (corpus.ports, corpus.dead_letters, corpus.pseudonyms)
        for member in vars(module).values()
        if inspect.isclass(member) and getattr(member, "_is_protocol", False) and member.__module__ == module.__name__
    }
    assert ports <= SUITES.keys()


def test_a_class_that_lacks_a_method_does_not_pass_for_an_implementation() -> None:
    assert "SqliteHeads" in implementations(corpus.ports.Heads)
    assert "SqliteHeads" not in implementations(corpus.ports.Tenants)
