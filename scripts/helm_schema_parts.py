"""What schemas of the chart's values are made of: kinds of values, each with its description."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

CPU_OR_MEMORY: Final = {"type": ["string", "number"]}
TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
SELECTOR: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"matchLabels": TEXTS, "matchExpressions": {"type": "array"}},
}
PEER: Final = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {"podSelector": SELECTOR, "namespaceSelector": SELECTOR, "ipBlock": {"type": "object"}},
}
NAME: Final = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"
"""A Kubernetes name, or none."""


def closed(description: str, **properties: Schema) -> Schema:
    """An object without other properties than these."""
    return {"type": "object", "description": description, "additionalProperties": False, "properties": properties}


def text(description: str, **more: Any) -> Schema:
    """A string."""
    return {"type": "string", "description": description, **more}


def needed(description: str, **more: Any) -> Schema:
    """A string that may not be empty."""
    return text(f"{description} Needed.", minLength=1, **more)


def name(description: str) -> Schema:
    """The name of another object, or nothing."""
    return text(description, pattern=NAME)


def choice(description: str, *choices: str) -> Schema:
    """One of some strings."""
    return {"enum": list(choices), "description": description}


def number(description: str, minimum: float = 0, **more: Any) -> Schema:
    """A number."""
    return {"type": "number", "minimum": minimum, "description": description, **more}


def count(description: str, minimum: int = 0, **more: Any) -> Schema:
    """A whole number."""
    return {"type": "integer", "minimum": minimum, "description": description, **more}


def flag(description: str) -> Schema:
    """Yes or no."""
    return {"type": "boolean", "description": description}


def texts(description: str) -> Schema:
    """A mapping of strings to strings."""
    return {**TEXTS, "description": description}


def listing(description: str, items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items, "description": description}


def peers(description: str) -> Schema:
    """NetworkPolicyPeers."""
    return listing(description, PEER)


def egress(ports: bool = True) -> Schema:
    """Where the network policies let pods go."""
    properties = {"to": peers("Where it is, as NetworkPolicyPeers; empty for anywhere.")}
    if ports:
        integers: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
        properties["ports"] = listing("Ports of the pods; empty for those in the addresses.", integers)
    return closed("What the network policies open towards it.", **properties)


def credentials(**keys: str) -> dict[str, Schema]:
    """A secret of somebody else's, and what its keys hold."""
    return {
        "existingSecret": name("Secret with its credentials."),
        "secretKeys": closed("Keys of the secret.", **{key: needed(meaning) for key, meaning in keys.items()}),
    }
