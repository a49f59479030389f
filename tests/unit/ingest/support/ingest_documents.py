"""Small documents of every format, made on the spot."""

import io
import zipfile
from collections.abc import Callable

from docx import Document
from openpyxl import Workbook
from pptx import Presentation


def docx_bytes() -> bytes:
    document = Document()
    document.core_properties.title = "Pump manual"
    document.core_properties.author = "Ada"
    document.add_heading("Maintenance", 1)
    document.add_paragraph("Change the oil every 500 hours.")
    document.add_heading("Torque", 2)
    table = document.add_table(rows=2, cols=2)
    for row, cells in enumerate([("Bolt", "Nm"), ("M8", "25")]):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    return _saved(document.save)


def pptx_bytes() -> bytes:
    presentation = Presentation()
    for title, body in (("Roadmap", "Ship the pump"), ("Risks", "Supply of seals")):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
    return _saved(presentation.save)


def xlsx_bytes() -> bytes:
    workbook = Workbook()
    sheet = workbook.active
    sheet.title = "Prices"
    for row in (("Part", "Price", "Stock"), ("Seal", 9.5, 3), ("Valve", 20, True)):
        sheet.append(row)
    other = workbook.create_sheet("Empty")
    other["A1"] = None
    return _saved(workbook.save)


def pdf_bytes(pages: list[list[tuple[int, int, int, str]]], info: str = "", encrypt: bool = False) -> bytes:
    """A PDF of `pages`, each a list of (size, x, y, text) in Helvetica."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{' '.join(f'{4 + 2 * n} 0 R' for n in range(len(pages)))}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, lines in enumerate(pages):
        shown = "\n".join(f"BT /F1 {size} Tf {x} {y} Td ({text}) Tj ET" for size, x, y, text in lines)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream")
    trailer = f"/Root 1 0 R /Size {len(objects) + 3}"
    if info:
        objects.append(f"<< {info} >>")
        trailer += f" /Info {len(objects)} 0 R"
    if encrypt:
        key = "0" * 64
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >>")
        trailer += f" /Encrypt {len(objects)} 0 R /ID [<00> <00>]"
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    xref = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    return out + f"{xref}trailer\n<< {trailer} >>\nstartxref\n{len(out)}\n%%EOF".encode()


def zip_bomb_bytes(name: str = "word/document.xml", megabytes: int = 64) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(name, b"\0" * megabytes * 1024 * 1024)
    return out.getvalue()


def _saved(save: Callable[[io.BytesIO], None]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()
