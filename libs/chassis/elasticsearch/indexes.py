"""Indexes as they are expected: created once, compared at every start, never changed in passing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chassis.elasticsearch.client import Store, error_of, store_errors

_FIRST: Final = "000001"
_DEFAULTS: Final = {"index": True, "doc_values": True, "norms": True, "store": False, "enabled": True}
"""Parameters of fields as Elasticsearch takes them where they are not named."""


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """One index behind an alias.

    Attributes:
        alias: Name without the installation's prefix, such as ``heads``.
        properties: Of the mapping, which is strict: a field that is not named here is refused.
        settings: Index settings beside shards and replicas; those that are named are compared.
        groups: Further aliases, which name several indexes together; also without the prefix.
        about: Kept with the mapping, for people and for nothing else.
    """

    alias: str
    properties: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)


async def create(store: Store, spec: IndexSpec) -> bool:
    """Creates the index and its alias unless the alias is there. Idempotent, also between processes. Returns whether it
    was created here."""
    alias = store.name(spec.alias)
    if await _exists(store, alias):
        return False
    mappings = {"dynamic": "strict", "_meta": dict(spec.about), "properties": dict(spec.properties)}
    settings = {
        "number_of_shards": store.endpoint.shards,
        "number_of_replicas": store.endpoint.replicas,
        **spec.settings,
    }
    aliases: dict[str, Any] = {store.name(group): {} for group in spec.groups}
    aliases[alias] = {"is_write_index": True}
    with store_errors():
        response = await store.client.options(ignore_status=400).indices.create(
            index=f"{alias}-{_FIRST}", mappings=mappings, settings=settings, aliases=aliases
        )
    if response.meta.status != 400:
        return True
    kind = str(response.body["error"]["type"])
    if kind != "resource_already_exists_exception":
        raise error_of(response.meta.status, kind)
    return False  # another process was faster


async def differences(store: Store, spec: IndexSpec) -> list[str]:
    """What differs from the specification, one sentence each; empty when nothing does."""
    alias = store.name(spec.alias)
    if not await _exists(store, alias):
        return [f"index {alias}: missing"]
    return await _differences(store, alias, spec)


async def create_missing(store: Store, specs: Iterable[IndexSpec]) -> list[str]:
    """Creates those that are missing and names them."""
    return [f"index {store.name(spec.alias)}" for spec in specs if await create(store, spec)]


async def all_differences(store: Store, specs: Iterable[IndexSpec]) -> list[str]:
    """What differs in any of them."""
    return [sentence for spec in specs for sentence in await differences(store, spec)]


async def differences_of_all(store: Store, pattern: str, spec: IndexSpec) -> list[str]:
    """What differs in any index whose name, without the installation's prefix, matches a pattern with asterisks. There
    may be none."""
    return await _differences(store, store.name(pattern), spec)


async def _differences(store: Store, names: str, spec: IndexSpec) -> list[str]:
    with store_errors():
        mappings = await store.client.indices.get_mapping(index=names)
        settings = await store.client.indices.get_settings(index=names, flat_settings=True)
    found: list[str] = []
    for index, content in mappings.body.items():
        mapping = content["mappings"]
        if str(mapping.get("dynamic")) != "strict":
            found.append(f"index {index}: the mapping is not strict")
        found += _differing(f"index {index}: field ", spec.properties, mapping.get("properties", {}))
    wanted = dict(_flat(spec.settings))
    for index, content in settings.body.items():
        actual = content["settings"]
        found += [
            f"index {index}: setting {name} is {_text(actual.get(name))}, expected {value}"
            for name, value in wanted.items()
            if str(actual.get(name)) != value
        ]
    return found


def _differing(prefix: str, expected: Mapping[str, Any], actual: Mapping[str, Any]) -> Iterator[str]:
    for name, wanted in expected.items():
        there = actual.get(name)
        if there is None:
            yield f"{prefix}{name} is missing"
            continue
        # An object's type is not reported when it has properties; a default is not reported at all.
        kind, wanted_kind = there.get("type", "object"), wanted.get("type", "object")
        if kind != wanted_kind:
            yield f"{prefix}{name} is {kind}, expected {wanted_kind}"
        for parameter in sorted((there.keys() | wanted.keys()) - {"type", "properties"}):
            default = _DEFAULTS.get(parameter)
            is_there, is_wanted = there.get(parameter, default), wanted.get(parameter, default)
            if _text(is_there) != _text(is_wanted):
                yield f"{prefix}{name}: {parameter} is {_text(is_there)}, expected {_text(is_wanted)}"
        yield from _differing(f"{prefix}{name}.", wanted.get("properties", {}), there.get("properties", {}))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings under their full names, however they were nested when they were written."""
    for name, value in tree.items():
        path = f"{prefix}.{name}" if prefix else name
        if isinstance(value, Mapping):
            yield from _flat(value, path)
        else:
            yield path if path.startswith("index.") else f"index.{path}", _text(value)


def _text(value: object) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _exists(store: Store, alias: str) -> bool:
    with store_errors():
        return bool(await store.client.indices.exists_alias(name=alias))
