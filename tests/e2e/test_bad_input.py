"""Bad input gets a typed error with its reason, nothing is lost, and the services stay up."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Place

from headwater import HeadwaterError, InvalidRequestError, NotFoundError


def encrypted_pdf() -> bytes:
    objects = (
        b"1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n",
        b"2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n",
        b"3 0 obj\n<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"41" * 32 + b"> /U <" + b"42" * 32 + b"> >>\nendobj\n",
    )
    body, offsets = b"%PDF-1.4\n", []
    for item in objects:
        offsets.append(len(body))
        body += item
    table = b"xref\n0 4\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    ids = b"/ID [<" + b"00" * 16 + b"> <" + b"00" * 16 + b">]"
    trailer = b"trailer\n<< /Size 4 /Root 1 0 R /Encrypt 3 0 R " + ids + b" >>\nstartxref\n"
    return body + table + trailer + str(len(body)).encode() + b"\n%%EOF\n"


def zip_bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"\0" * (80 * 2**20))
    return packed.getvalue()


BAD_DOCUMENTS = {
    "unreadable.pdf": (b"%PDF-1.7\n" + bytes(range(256)) * 40, {"UNREADABLE", "NO_TEXT_LAYER"}),
    "encrypted.pdf": (encrypted_pdf(), {"ENCRYPTED"}),
    "bomb.docx": (zip_bomb(), {"TOO_LARGE", "PARSER_MEMORY"}),
    "rubbish.xyz": (bytes(range(256)) * 64, {"UNSUPPORTED_FORMAT"}),
    "blank.txt": (b" \n\t\n ", {"EMPTY"}),
}


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_a_bad_document_becomes_a_dead_letter_that_says_why(place: Place, name: str) -> None:
    content, reasons = BAD_DOCUMENTS[name]
    with place.client() as client:
        receipt = client.put_document(name, content, filename=name, readers=["public"])
        change = client.wait_until_applied()[receipt.event_id]
        assert change.state == "dead_lettered"
        assert change.reason in reasons
        assert change.message
        assert client.ingest_status(list_limit=5).newest_dead_letters[0].document_id == name


def test_a_wrong_extension_is_seen_through_and_odd_bytes_are_read(place: Place) -> None:
    with place.client() as client:
        client.put_document("page.txt", b"<html><body><p>The heron is a bird.</p></body></html>", filename="page.txt")
        client.put_document("odd.txt", "Die Fähre fährt täglich um 9 Uhr.".encode("latin-1"), filename="odd.txt")
        assert {change.state for change in client.wait_until_applied().values()} == {"applied"}


def test_200_megabytes_are_refused_while_they_arrive(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
    with place.client() as client:
        with pytest.raises(InvalidRequestError) as refused:
            client.put_document("huge", path, filename="huge.txt", readers=["public"])
        assert refused.value.reason == "DOCUMENT_TOO_LARGE"
        with pytest.raises(NotFoundError):
            client.get_document("huge")


def bad_requests() -> Iterator[tuple[str, dict[str, object], str]]:
    yield "pump", {"k": 0}, "INVALID_K"
    yield "pump", {"filter": {"colour": "red"}}, "UNDECLARED_FIELD"
    yield "pump", {"filter": {"year": {"$near": 3}}}, "INVALID_FILTER"
    yield "pump", {"legs": ["psychic"]}, ""
    yield "x" * 2**20, {}, "QUERY_TOO_LONG"
    yield "   ", {}, "EMPTY_QUERY"


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    list(bad_requests()),
    ids=[reason or "unknown leg" for _, _, reason in bad_requests()],
)
def test_a_bad_search_is_refused_with_its_reason(
    place: Place, text: str, options: dict[str, object], reason: str
) -> None:
    with place.client() as client, pytest.raises(InvalidRequestError) as refused:
        client.search(text, **options)
    assert not reason or refused.value.reason == reason
    assert text not in refused.value.message or len(text) < 10


def test_an_unknown_tenant_is_named(place: Place) -> None:
    with Place(place.data, place.target, place.http, "nobody-knows").client() as client:
        for call in (lambda: client.search("pump"), lambda: client.put_document("d", b"text", readers=["public"])):
            with pytest.raises(NotFoundError) as refused:
                call()
            assert refused.value.reason == "UNKNOWN_TENANT"


@pytest.mark.parametrize(
    "document",
    [
        {"document_id": ""},
        {"document_id": "a\nb"},
        {"document_id": "d", "readers": ["everybody"]},
        {"document_id": "d", "metadata": {"year": "soon"}},
        {"document_id": "d", "metadata": {"product": {"nested": "object"}}},
    ],
)
def test_a_bad_description_is_refused(place: Place, document: dict[str, object]) -> None:
    document_id = str(document.pop("document_id"))
    with place.client() as client, pytest.raises(HeadwaterError) as refused:
        client.put_document(document_id, b"text", **document)
    assert isinstance(refused.value, InvalidRequestError)
    assert refused.value.reason


def test_after_all_that_the_services_still_serve(place: Place) -> None:
    with place.client() as client:
        client.put_document("fine", b"The ferry leaves at nine.", filename="fine.txt", readers=["public"])
        client.wait_until_applied()
        assert client.search("When does the ferry leave?").hits[0].document_id == "fine"
