"""One table, as each kind of file shows it."""

import csv
import io

import pytest

from usgland.errors import UserError
from usgland.evaluation.shown.table import Document, Paragraph, Row, Table, rows

SEX = (
    Row(("Sex", "", "0.034ᵃ")),
    Row(("female|male", "3 (50.0%)", ""), indent=1),
    Row(("=cmd & 100% _x#$", "1 ± 2", "<0.001")),
)
TABLE = Table(
    heads=("", "benign\nn = 6", "P"),
    sections=(SEX, rows([("Age", "undefined", "1.000")])),
    title="Table 1",
    notes=("Counted: patients.",),
    spans=(("", 1), ("label", 2)),
    footnote="ᵃ Fisher & co",
)
DOCUMENT = Document(
    (
        Paragraph("Before", bold=True),
        Paragraph("said", depth=1),
        Paragraph("tried", depth=2),
        TABLE,
    ),
    synthetic=True,
    notes=("What holds for all.",),
    columns=("name", "value", "low", "small"),
    records=(
        {"name": "=cmd", "value": 1 / 3, "low": float("nan"), "small": True, "x": 1},
        {"name": "a,b", "value": None, "low": 0, "small": False},
    ),
)


def test_markdown_has_the_mark_the_title_aligned_cells_and_the_notes():
    assert DOCUMENT.markdown().splitlines() == [
        "**SYNTHETIC DATA: phantoms, not patients**",
        "",
        "**Before**",
        "",
        "- said",
        "  - tried",
        "",
        "**Table 1**",
        "",
        "|  | label<br>benign<br>n = 6 | P |",
        "|---|---:|---:|",
        "| Sex |  | 0.034ᵃ |",
        r"| &emsp;female\|male | 3 (50.0%) |  |",
        "| =cmd & 100% _x#$ | 1 ± 2 | <0.001 |",
        "| Age | undefined | 1.000 |",
        "",
        "- ᵃ Fisher & co",
        "- Counted: patients.",
        "",
        "- What holds for all.",
    ]


def test_a_lead_stands_above_the_mark():
    lines = Document((TABLE,), synthetic=True, lead="Look here.").markdown()
    assert lines.startswith("Look here.\n\n**SYNTHETIC")


def test_csv_holds_records_in_full_and_nothing_where_undefined():
    text = DOCUMENT.csv()
    assert text == (
        'name,value,low,small\n=cmd,0.3333333333333333,,true\n"a,b",,0,false\n'
    )
    assert len(list(csv.DictReader(io.StringIO(text)))) == 2


def test_latex_escapes_its_signs_and_joins_heads():
    lines = DOCUMENT.latex().splitlines()
    assert lines[0] == "% SYNTHETIC DATA: phantoms, not patients"
    assert lines[1].startswith(r"\textbf{SYNTHETIC")
    assert r"\begin{tabular}{lrr}" in lines
    assert r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{label} \\" in lines
    assert r" & benign n = 6 & P \\ \hline" in lines
    assert r"\quad female|male & 3 (50.0\%) &  \\" in lines
    assert r"=cmd \& 100\% \_x\#\$ & 1 $\pm$ 2 & $<$0.001 \\" in lines
    assert r"Sex &  & 0.034$^a$ \\" in lines
    # The footnote is a part of the table: notes are comments, which nobody would see.
    assert lines[-4:-2] == [
        r"\hline \multicolumn{3}{p{\linewidth}}{$^a$ Fisher \& co} \\",
        r"\end{tabular}",
    ]
    assert lines[-2:] == ["% Counted: patients.", "% What holds for all."]


def test_cells_that_fit_no_column_are_named():
    with pytest.raises(ValueError, match=r"must have 2 columns.* Received: \[1, 3\]"):
        Table(heads=("a", "b"), sections=(rows([("1",), ("1", "2", "3")]),))
    with pytest.raises(ValueError, match=r"must have 2 columns.* Received: \[2, 3\]"):
        Table(heads=("a", "b"), sections=(rows([("1", "2")]),), spans=(("x", 3),))


def test_files_are_those_asked_for_and_one_in_the_way_is_named(tmp_path):
    written = DOCUMENT.write(tmp_path / "v1.2", ("md", "tex"))
    assert [path.name for path in written] == ["v1.2.md", "v1.2.tex"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v1.2.md", "v1.2.tex"]
    with pytest.raises(UserError, match=r"Cannot write .*table.md"):
        DOCUMENT.write(tmp_path / "v1.2.md" / "table")
