"""The process that touches the document: reads requests from its channel, answers, ends."""

import os
import socket
from collections.abc import Callable

from ingest.parsing.errors import OutputTooLarge, ParserMemoryExceeded, ParsingError
from ingest.parsing.model import ParsedDocument
from ingest.sandbox.isolation import limit_cpu, limit_process
from ingest.sandbox.protocol import (
    EXIT_OUT_OF_MEMORY,
    PREFIX,
    ParseRequest,
    decode_request,
    encode_document,
    encode_rejection,
)

Parse = Callable[..., ParsedDocument]


def serve(channel: socket.socket, parse: Parse, mapped_bytes: int) -> int:
    """Parse what comes in until the pool closes the channel; return the exit status.

    `mapped_bytes` is the address space that the warm parsers take up: not the document's fault. Anything that is
    neither a document nor a `ParsingError` ends the process: the pool sees the closed channel.
    """
    limited = False
    while prefix := _receive(channel, PREFIX.size):
        _, header_bytes, body_bytes = PREFIX.unpack(prefix)
        request = decode_request(bytes(_receive(channel, header_bytes)))
        if not limited:
            limit_process(request.limits, mapped_bytes)
            limited = True
        limit_cpu(request.limits)
        try:
            body = bytes(_receive(channel, body_bytes))
            _answer(channel, request, body, parse)
        except MemoryError:
            return EXIT_OUT_OF_MEMORY
        del body
    return os.EX_OK


def _answer(channel: socket.socket, request: ParseRequest, body: bytes, parse: Parse) -> None:
    try:
        document = parse(
            body,
            filename=request.filename,
            media_type=request.media_type,
            language=request.language,
            limits=request.limits,
        )
        if len(document.text) > request.limits.max_output_chars:
            raise OutputTooLarge
        header, text = encode_document(document)
    except ParsingError as error:
        channel.sendall(encode_rejection(error))
    except MemoryError:
        channel.sendall(encode_rejection(ParserMemoryExceeded()))
    else:
        channel.sendall(header)
        channel.sendall(text)


def _receive(channel: socket.socket, size: int) -> bytearray:
    """Return exactly `size` bytes, or nothing if the pool has closed the channel."""
    received = bytearray(size)
    view, filled = memoryview(received), 0
    while filled < size:
        count = channel.recv_into(view[filled:])
        if count == 0:
            return bytearray()
        filled += count
    return received
