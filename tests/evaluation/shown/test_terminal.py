"""What a person sees in 80 columns."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from usgland.evaluation.shown.table import Document, Paragraph, Row, Table, rows
from usgland.evaluation.shown.terminal import show

INTERVAL = "0.972 (0.912 to 1.000)"


def printed(document, width=80):
    console = Console(file=io.StringIO(), width=width)
    show(document, console)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return lines


def table(columns, cell=INTERVAL, name="Reader"):
    heads = ("", *(f"Number {column}" for column in range(columns)))
    return Table(heads, (rows([(name, *[cell] * columns)]),), title="Shares")


@pytest.mark.parametrize(("columns", "framed"), [(2, True), (3, False)])
def test_a_frame_goes_before_an_interval_is_parted(columns, framed):
    lines = printed(Document((table(columns),), synthetic=False))
    assert lines[0].strip() == "Shares"
    (line,) = (line for line in lines if "Reader" in line)
    assert line.count(INTERVAL) == columns
    assert ("│" in line) is framed


def test_six_intervals_stand_below_their_values():
    lines = printed(Document((table(6),), synthetic=False))
    number = next(i for i, line in enumerate(lines) if "Reader" in line)
    assert lines[number].split() == ["Reader", *["0.972"] * 6]
    assert lines[number + 1].split() == ["0.91-1.00"] * 6
    # On a wide terminal there is no need to.
    wide = printed(Document((table(6),), synthetic=False), width=200)
    assert any(line.count(INTERVAL) == 6 for line in wide)


def test_bounds_below_zero_and_missing_ones_are_told_apart():
    shown = Table(
        ("", *"abcde"),
        (rows([("x", "+0.020 (-0.010 to +0.050)", *["0.5 (no interval)"] * 4)]),),
    )
    lines = [line.split() for line in printed(Document((shown,), synthetic=False))]
    assert ["-0.01", "to", "0.05", *["(no", "interval)"] * 4] in lines


def test_words_are_never_broken_where_a_column_can_give_room():
    words = "a senior radiologist of the university"
    shown = Table(
        ("Reader", "Difference", "Only first right", "Only second right", "P, Holm"),
        (rows([(words, "Sensitivity", "Specificity", "Cooperation", "<0.001")]),),
        align="lllll",
    )
    text = " ".join(printed(Document((shown,), synthetic=False), width=64))
    for word in (*words.split(), "Difference", "Sensitivity", "Specificity", "second"):
        assert word in text


def test_a_name_ends_its_line_between_words_and_after_colons_and_semicolons():
    name = "breast scar;retraction:of the nipple"
    shown = Table(("", "P"), (rows([(name, "1.000")]),))
    lines = printed(Document((shown,), synthetic=False), width=27)
    names = [line.strip("│").split("│")[0].strip() for line in lines if "│" in line]
    assert names == ["breast scar;", "retraction:of", "the nipple"]


def test_a_column_gives_way_only_where_even_words_do_not_fit():
    assert printed(Document((table(6),), synthetic=False), width=30)


def test_rows_are_set_in_and_the_same_name_is_said_once():
    shown = Table(
        ("", "n"),
        ((Row(("Sex", "")), Row(("[bold]", "1"), 1)), rows([("b", "2"), ("b", "3")])),
    )
    lines = printed(Document((shown,), synthetic=False))
    names = [line.strip("│").split("│")[0].rstrip() for line in lines if "│" in line]
    assert names == [" Sex", "    [bold]", " b", ""]


def test_phantoms_are_marked_and_lines_stand_in_their_order():
    blocks = (
        Paragraph("Title", bold=True),
        Paragraph("said", depth=1),
        Paragraph("tried", depth=2),
    )
    document = Document(
        (*blocks, table(1)), synthetic=True, lead="First.", notes=("Last.",)
    )
    lines = [line.rstrip() for line in printed(document)]
    assert "SYNTHETIC DATA: phantoms, not patients" in lines[1]
    assert lines[3:7] == ["First.", "Title", "   said", "   - tried"]
    assert lines[-1] == "Last."


def test_heads_above_heads_stand_over_the_first_of_theirs():
    shown = Table(
        ("", "interval", "n"),
        (rows([("a", "1", "2")]),),
        spans=(("", 1), ("patient", 2)),
    )
    lines = printed(Document((shown,), synthetic=False))
    assert [line.replace("┃", " ").split() for line in lines[1:3]] == [
        ["patient"],
        ["interval", "n"],
    ]


def test_tables_need_no_terminal_and_no_word_to_be_made():
    code = (
        "import sys\n"
        "from usgland.evaluation.shown import table, text, word\n"
        "print(sorted({'rich', 'docx', 'matplotlib'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_columns_without_room_stand_below_each_other_and_no_number_is_cut():
    # "0.20-0.43" was printed as "0.20-0.4", "Specificity" as "Specificit".
    heads = ("Specificity", "Sensitivity", "Accuracy") * 4
    cells = (
        tuple(f"0.{i}25 (0.{i}01 to 0.{i}49)" for i in range(1, 10)) + ("1.234",) * 3
    )
    one = Table(
        ("", *heads),
        (rows([("Everybody", *cells)]),),
        spans=(("", 1), ("First", 6), ("Second", 6)),
    )
    text = "\n".join(printed(Document((one,), synthetic=False)))
    for i in range(1, 10):
        assert f"0.{i}25" in text and f"0.{i}0-0.{i}5" in text
    for head in ("Specificity", "Sensitivity", "Accuracy", "1.234"):
        assert text.count(head) >= 3
    assert text.count("Everybody") > 1 and "First" in text and "Second" in text
    wide = printed(Document((one,), synthetic=False), width=400)
    assert sum("Everybody" in line for line in wide) == 1
