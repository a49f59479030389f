"""YAML (`---`) and TOML (`+++`) front matter of Markdown files."""

import re
import tomllib

import yaml

from ingest.parsing.model import MetadataValue
from ingest.parsing.scalars import flatten

_BLOCK = re.compile(r"\A(?P<fence>---|\+\+\+)[ \t]*\n(?P<body>.*?)^(?:(?P=fence)|\.\.\.)[ \t]*(?:\n|\Z)", re.S | re.M)
# Front matter is a few lines; a longer block is a document that begins with a thematic break.
_MAX_CHARS = 64 * 1024


class _FrontMatterLoader(yaml.SafeLoader):
    """Safe YAML without aliases (they expand exponentially) and with version numbers as text."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed in front matter")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        for key, value in node.value:
            if isinstance(key.value, str) and "version" in key.value.lower() and isinstance(value, yaml.ScalarNode):
                value.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


def split_front_matter(text: str) -> tuple[dict[str, MetadataValue], str, bool]:
    """Return (metadata, the rest of the text, whether the block was well formed).

    A block that does not parse, or does not hold a mapping, stays in the text.
    """
    match = _BLOCK.match(text[: _MAX_CHARS + 1]) if text.startswith(("---", "+++")) else None
    if match is None:
        return {}, text, True
    try:
        values: object
        if match["fence"] == "---":
            values = yaml.load(match["body"], Loader=_FrontMatterLoader)  # noqa: S506 a SafeLoader
        else:
            values = tomllib.loads(match["body"])
    except (yaml.YAMLError, tomllib.TOMLDecodeError, ValueError, RecursionError):
        return {}, text, False
    if not isinstance(values, dict):
        # `---` around prose is a pair of thematic breaks.
        return {}, text, values is None
    return dict(flatten(values)), text[match.end() :], True
