"""Tables as a Word file, for a manuscript: three rules, a bold title, notes below."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from usgland.errors import check_installed
from usgland.evaluation.shown.table import MARKS, Document, Paragraph, Row, Table
from usgland.evaluation.shown.text import SYNTHETIC
from usgland.files import write_whole

FONT = "Times New Roman"
SIZE, SMALL = 10, 8.5  # points, of text and of notes
INDENT = 10  # points, of a row that is set in
MOST = 40  # characters of a column; longer texts are wrapped
WIDE = 6  # columns; a page with a table of more is turned
RED = (0xB0, 0, 0)


def import_docx() -> Any:
    """The package python-docx, an extra; an error if it is not there."""
    check_installed("--docx", "docx")
    import docx

    return docx


def save_docx(document: Document, path: Path) -> None:
    """Writes a Word file, whole or not at all.

    Raises:
        UserError: If it cannot be written, or python-docx is not there.
    """
    docx = import_docx()
    from docx.enum.section import WD_ORIENT
    from docx.shared import Pt, RGBColor

    word = docx.Document()
    word.core_properties.author = "usgland"
    style = word.styles["Normal"]
    style.font.name, style.font.size = FONT, Pt(SIZE)
    style.paragraph_format.space_after = Pt(3)
    page = word.sections[0]
    tables = [block for block in document.blocks if isinstance(block, Table)]
    if any(len(table.heads) > WIDE for table in tables):
        page.orientation = WD_ORIENT.LANDSCAPE
        page.page_width, page.page_height = page.page_height, page.page_width
    if document.synthetic:
        run = word.add_paragraph().add_run(SYNTHETIC)
        run.bold, run.font.color.rgb = True, RGBColor(*RED)
    if document.lead:
        word.add_paragraph(document.lead)
    for block in document.blocks:
        if isinstance(block, Table):
            _add_table(word, block)
        else:
            _add_paragraph(word, block)
    _add_notes(word, document.notes)
    with write_whole(path) as temporary:
        word.save(str(temporary))


def _add_paragraph(word: Any, paragraph: Paragraph) -> None:
    style = {0: "Normal", 1: "List Bullet"}.get(paragraph.depth, "List Bullet 2")
    word.add_paragraph(style=style).add_run(paragraph.text).bold = paragraph.bold


def _add_notes(word: Any, notes: Sequence[str]) -> None:
    from docx.shared import Pt

    for note in notes:
        for run in _add_runs(word.add_paragraph(), note):
            run.font.size = Pt(SMALL)


def _add_runs(paragraph: Any, text: str) -> list[Any]:
    """The text in parts, of which the marks of footnotes are set above the line."""
    runs = []
    for part in filter(None, re.split(f"([{''.join(MARKS)}])", text)):
        runs.append(paragraph.add_run(MARKS.get(part, part)))
        runs[-1].font.superscript = part in MARKS or None
    return runs


def _add_table(word: Any, table: Table) -> None:
    from docx.oxml import OxmlElement

    if table.title:
        title = word.add_paragraph()
        title.add_run(table.title).bold = True
        title.paragraph_format.keep_with_next = True
    drawn = word.add_table(0, len(table.heads))
    spans = []
    if table.spans:
        spans = [_add_row(drawn, Row(("",) * len(table.heads)), table.alignment())]
    heads = _add_row(drawn, Row(table.heads), table.alignment(), bold=True)
    for row in table.rows():
        _add_row(drawn, row, table.alignment())
    _set_widths(drawn, table, word.sections[0])
    for line in (*spans, heads):  # stand on every page
        line._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))
    for line in spans:
        _merge(line.cells, table)
    _draw_rule(drawn.rows[0], "top")
    _draw_rule(heads, "bottom")
    if table.rows():
        _draw_rule(drawn.rows[-1], "bottom")
    word.add_paragraph().paragraph_format.space_after = 0
    _add_notes(word, table.lines_below())


def _set_widths(drawn: Any, table: Table, page: Any) -> None:
    """A share of the page for each column, by its longest line."""
    room = page.page_width - page.left_margin - page.right_margin
    lines = [Row(table.heads), *table.rows()]
    longest = [
        max(len(line) for row in lines for line in row.cells[column].split("\n")) + 2
        for column in range(len(table.heads))
    ]
    parts = [min(count, MOST) for count in longest]
    for column, part in zip(drawn.columns, parts, strict=True):
        column.width = room * part // sum(parts)
        for cell in column.cells:
            cell.width = column.width


def _merge(cells: Any, table: Table) -> None:
    starts = list(table.span_starts())
    for start, (text, count) in zip(starts, table.spans, strict=True):
        merged = cells[start].merge(cells[start + count - 1])
        _write_cell(merged, text, "c" if count > 1 else "l", bold=True)


def _add_row(drawn: Any, row: Row, alignment: str, *, bold: bool = False) -> Any:
    from docx.shared import Pt

    line = drawn.add_row()
    cells = line.cells
    for cell, text, letter in zip(cells, row.cells, alignment, strict=True):
        _write_cell(cell, text, letter, bold=bold)
    cells[0].paragraphs[0].paragraph_format.left_indent = Pt(INDENT * row.indent)
    return line


def _write_cell(cell: Any, text: str, letter: str, *, bold: bool) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH

    paragraph = cell.paragraphs[0]
    sides = {"l": "LEFT", "r": "RIGHT", "c": "CENTER"}
    paragraph.alignment = getattr(WD_ALIGN_PARAGRAPH, sides[letter])
    paragraph.paragraph_format.space_after = 0
    for run in _add_runs(paragraph, text):
        run.bold = bold


def _draw_rule(row: Any, side: str) -> None:
    """A line at the `top` or the `bottom` of a row."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    for cell in row._tr.tc_lst:  # of merged cells one
        properties = cell.get_or_add_tcPr()
        borders = properties.find(qn("w:tcBorders"))
        if borders is None:
            borders = OxmlElement("w:tcBorders")
            properties.append(borders)
        rule = OxmlElement(f"w:{side}")
        rule.set(qn("w:val"), "single")
        rule.set(qn("w:sz"), "8")  # eighths of a point
        borders.append(rule)
