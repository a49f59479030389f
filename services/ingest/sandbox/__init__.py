"""Untrusted documents are parsed in processes that can be killed, starved and thrown away.

    ParserPool (event loop of the worker)
      ├── zygote "light"    imported: text, HTML and PDF parsers, language model
      │     ├── child       forked per document (HTML, PDF) or per run of documents (text formats)
      │     └── …
      └── zygote "office"   imported: DOCX, PPTX, XLSX parsers; started by the first such document

A zygote is one process without threads that has paid for the imports; a fork of it is ready in a few
milliseconds. It holds no document, no secret and no network. Children have CPU, memory, file, descriptor and process
limits of their own; wall-clock time and output size are the pool's business.

A child that ran native code over hostile bytes (PDFium, libxml2, zlib) serves one document only: if that document
took it over, there is no next document to tamper with. Text formats are parsed by pure Python, so one child may serve
many of them in a row; each gets a fresh CPU allowance.
"""

from ingest.sandbox.pool import ParserPool

__all__ = ["ParserPool"]
