"""Word files, read back by python-docx."""

import sys

import docx
import pytest
from click.testing import CliRunner
from docx.enum.section import WD_ORIENT
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml.ns import qn
from docx.shared import Pt, RGBColor

from usgland.cli.main import cli
from usgland.errors import UserError
from usgland.evaluation.shown.table import Document, Paragraph, Row, Table, rows

TABLE = Table(
    heads=("", "95% interval", "n"),
    sections=((Row(("Sex", "", "")), Row(("female", "0.5 (0.4 to 0.6)", "3"), 1)),),
    title="Table 2",
    notes=("Counted: patients.",),
    spans=(("", 1), ("per patient", 2)),
)


def saved(document, folder):
    document.write(folder / "table", (), docx=True)
    return docx.Document(str(folder / "table.docx"))


def test_cells_heads_title_and_notes_come_back(tmp_path):
    word = saved(Document((TABLE,), synthetic=False, notes=("All.",)), tmp_path)
    (table,) = word.tables
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["", "per patient", "per patient"],
        ["", "95% interval", "n"],
        ["Sex", "", ""],
        ["female", "0.5 (0.4 to 0.6)", "3"],
    ]
    # One cell over two columns, centred and bold.
    first = table.rows[0].cells
    assert first[1]._tc is first[2]._tc and first[0]._tc is not first[1]._tc
    assert first[1].paragraphs[0].alignment == WD_ALIGN_PARAGRAPH.CENTER
    assert first[1].paragraphs[0].runs[0].bold
    number = table.rows[3].cells[2].paragraphs[0]
    assert number.alignment == WD_ALIGN_PARAGRAPH.RIGHT and not number.runs[0].bold
    name = table.rows[3].cells[0].paragraphs[0]
    assert name.paragraph_format.left_indent == Pt(10)
    title, *_ = word.paragraphs
    assert title.text == "Table 2" and title.runs[0].bold
    assert [line.text for line in word.paragraphs if line.text] == [
        "Table 2",
        "Counted: patients.",
        "All.",
    ]
    assert word.sections[0].orientation == WD_ORIENT.PORTRAIT


def test_marks_of_footnotes_are_letters_above_the_line(tmp_path):
    shown = Table(("", "P"), (rows([("Sex", "0.034ᵃ")]),), footnote="ᵃ Fisher")
    word = saved(Document((shown,), synthetic=False), tmp_path)
    cell = word.tables[0].rows[1].cells[1].paragraphs[0]
    (note,) = (line for line in word.paragraphs if line.text)
    assert [(r.text, bool(r.font.superscript)) for r in (*cell.runs, *note.runs)] == [
        *[("0.034", False), ("a", True)],
        *[("a", True), (" Fisher", False)],
    ]


def test_the_heads_stand_on_every_page_between_rules(tmp_path):
    (table,) = saved(Document((TABLE,), synthetic=False), tmp_path).tables
    heads = [row._tr.trPr is not None for row in table.rows]
    assert heads == [True, True, False, False]
    ruled = [
        [rule.tag for rule in row.cells[2]._tc.iter(qn("w:top"), qn("w:bottom"))]
        for row in table.rows
    ]
    top, bottom = qn("w:top"), qn("w:bottom")
    assert ruled == [[top], [bottom], [], [bottom]]


def test_phantoms_are_marked_in_red_and_lines_keep_their_place(tmp_path):
    blocks = (
        Paragraph("Found", bold=True),
        Paragraph("a", depth=1),
        Paragraph("b", depth=2),
        TABLE,
    )
    word = saved(Document(blocks, synthetic=True, lead="First."), tmp_path)
    mark, lead, found, item, deeper, *_ = word.paragraphs
    assert mark.text == "SYNTHETIC DATA: phantoms, not patients"
    assert mark.runs[0].bold and mark.runs[0].font.color.rgb == RGBColor(0xB0, 0, 0)
    assert (lead.text, found.text, found.runs[0].bold) == ("First.", "Found", True)
    assert item.style.name == "List Bullet" and deeper.style.name == "List Bullet 2"


def test_a_table_of_many_columns_turns_the_page(tmp_path):
    wide = Table(tuple("abcdefg"), (rows(["1234567"]),))
    page = saved(Document((wide,), synthetic=False), tmp_path).sections[0]
    assert page.orientation == WD_ORIENT.LANDSCAPE
    assert page.page_width > page.page_height


def test_a_missing_package_is_one_line_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "docx", None)
    expected = r"--docx needs python-docx, .*: pip install 'usgland\[docx\]=="
    with pytest.raises(UserError, match=expected):
        Document((TABLE,), synthetic=False).write(tmp_path / "x", docx=True)


def test_a_word_file_of_earlier_numbers_is_removed_and_a_stranger_is_not(tmp_path):
    document, stem = Document((TABLE,), synthetic=False), tmp_path / "table"
    stem.with_suffix(".docx").write_text("of somebody else")
    assert document.write(stem) == [stem.with_suffix(".md"), stem.with_suffix(".csv")]
    assert stem.with_suffix(".docx").read_text() == "of somebody else"
    assert document.write(stem, docx=True)[-1] == stem.with_suffix(".docx")
    document.write(stem)
    assert not stem.with_suffix(".docx").exists()


@pytest.mark.parametrize("command", ["table1", "compare", "readers", "audit"])
def test_every_command_says_so_before_it_reads_a_file(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "docx", None)
    done = CliRunner().invoke(cli, [command, "missing.csv", "--docx"])
    assert done.exit_code == 1
    assert "pip install 'usgland[docx]==" in done.stderr
    assert "missing" not in done.stderr
