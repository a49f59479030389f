"""Documents of many formats to one canonical text with sections; see `model` for the vocabulary."""

from ingest.parsing.limits import ParseLimits
from ingest.parsing.model import MetadataScalar, MetadataValue, ParsedDocument, Section, SectionKind

__all__ = ["MetadataScalar", "MetadataValue", "ParseLimits", "ParsedDocument", "Section", "SectionKind"]
