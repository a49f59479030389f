"""Zip containers of Office files: what is inside, and whether it is safe to open."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import Element

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import ParseError, fromstring  # type: ignore[import-untyped]

from ingest.parsing.errors import DocumentTooLarge, EncryptedDocument, UnreadableDocument
from ingest.parsing.limits import ParseLimits
from ingest.parsing.model import MetadataValue
from ingest.parsing.normalise import normalise
from ingest.parsing.scalars import scalar_from_text

_MAX_MEMBERS = 20_000
# A small member may compress any amount: only what would matter is worth refusing.
_RATIO_FLOOR_BYTES = 8 * 1024 * 1024
_ENCRYPTED_FLAG = 0x1
_PROPERTIES = "docProps/core.xml"
_MAX_PROPERTIES_BYTES = 256 * 1024
_PROPERTY_NAMES = {
    "title": "title", "creator": "author", "subject": "subject", "description": "description", "keywords": "keywords",
    "created": "created", "modified": "modified", "language": "language", "category": "category",
}  # fmt: skip


@contextmanager
def open_container(data: bytes, limits: ParseLimits) -> Iterator[zipfile.ZipFile]:
    """Open a zip container whose directory promises to stay within the limits.

    The directory may lie; the memory limit of the sandbox holds anyway.

    Raises:
        UnreadableDocument: Not a zip file, or damaged.
        EncryptedDocument: Members need a password.
        DocumentTooLarge: Too many members, too large, or compressed like a bomb.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise UnreadableDocument("the container is damaged") from error
    with archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if len(members) > _MAX_MEMBERS or total > limits.max_uncompressed_bytes:
            raise DocumentTooLarge("the container unpacks to more than the limit")
        for member in members:
            if member.flag_bits & _ENCRYPTED_FLAG:
                raise EncryptedDocument
            if member.file_size > max(_RATIO_FLOOR_BYTES, limits.max_compression_ratio * member.compress_size):
                raise DocumentTooLarge("the container is compressed like a bomb")
        yield archive


def read_properties(archive: zipfile.ZipFile) -> dict[str, MetadataValue]:
    """Return the core properties (title, author, created, …) of an Office file; damaged ones are left out."""
    try:
        if archive.getinfo(_PROPERTIES).file_size > _MAX_PROPERTIES_BYTES:
            return {}
        root: Element = fromstring(archive.read(_PROPERTIES))
    except (KeyError, ParseError, DefusedXmlException, zipfile.BadZipFile, ValueError):
        return {}
    properties: dict[str, MetadataValue] = {}
    for element in root:
        name = _PROPERTY_NAMES.get(element.tag.rsplit("}", 1)[-1])
        text = normalise(element.text or "").strip()
        if name and text:
            properties[name] = scalar_from_text(text, name) if name in ("created", "modified") else text
    return properties
