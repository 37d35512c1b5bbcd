import datetime
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from usgland import table_files
from usgland.errors import UserError
from usgland.table_files import (
    check_columns,
    is_missing,
    names_nobody,
    normalize_word,
    raise_problems,
    read_table,
    show_rows,
    to_numbers,
)


def table(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        "a,b\nx,1\ny,\n",
        "a;b\nx;1\ny;\n",
        "a\tb\nx\t1\ny\t\n",
        "\ufeffa,b\r\nx,1\r\ny,\r\n",
        "a,b\rx,1\ry,",
        ' a ,"b"\n x , 1 \n"y",""\n',
        "a,b,\nx,1,\ny,,\n",  # a column without a name
        "a,b\nx,1\ny,,\n",
    ],
)
def test_every_dialect_gives_the_same_text(tmp_path, content):
    rows = read_table(table(tmp_path, content))
    assert rows.to_dict("list") == {"a": ["x", "y"], "b": ["1", ""], "csv_row": [2, 3]}


def test_nothing_is_taken_for_missing_or_a_number(tmp_path):
    rows = read_table(table(tmp_path, "a,b\nNA,007\nnan,1e3\n"))
    assert rows["a"].to_list() == ["NA", "nan"]
    assert rows["b"].to_list() == ["007", "1e3"]


def test_rows_are_numbered_as_a_spreadsheet_does(tmp_path):
    content = 'a,b\n"two\nlines",1\n\n,,\ny,2\n'
    rows = read_table(table(tmp_path, content))
    assert rows["csv_row"].to_list() == [2, 5]


def test_a_separator_inside_quotes_of_the_header_is_none(tmp_path):
    rows = read_table(table(tmp_path, '"age, years, at entry";b\n7;x\n'))
    assert rows.columns.to_list() == ["age, years, at entry", "b", "csv_row"]


def test_odd_line_separators_stay_inside_their_cell(tmp_path):
    rows = read_table(table(tmp_path, "a,b\nx\u2028y\x0cz,1\n"))
    assert rows["a"].to_list() == ["x\u2028y\x0cz"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a header .* Received: an empty first line"),
        ("\na,b\n", "Received: an empty first line"),
        ("a,b,a\n1,2,3\n", "expected each column once. Received: a twice or more"),
        ("a,csv_row\n1,2\n", "Received: `csv_row`; rename it"),
        ("a,b\n1\n", "row 2: expected 2 cells. Received: 1"),
        ("a,b\n1,2\n1,2,3\n", "row 3: expected 2 cells. Received: 3"),
        ("a,b\n1,2\n1,2,3\n1\n", "2 problems:\n  row 3: .*\n  row 4: "),
        ('a,b\n"1,2\n3,4\n', "expected a CSV table. Received: unexpected end"),
        ("a,b\nMüller,2\n".encode("latin-1"), "in UTF-8. Received: byte 0xfc at pos"),
        ("<html><table><tr><td>a", "Received: HTML or XML, which some programs name"),
        ("\ufeff<?xml version='1.0'?><Workbook>", "Received: HTML or XML"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1",
            "an old .xls, or a workbook with a password; open",
        ),
        ("a,b\n1,2\n".encode("utf-16"), 'UTF-8. Received: .*save it as "CSV UTF-8"'),
        ("a,b\n1,2\n".encode("utf-16-le"), "Received: a file with zero bytes"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read_table(table(tmp_path, content))


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(UserError, match=r"Received: no file at .*none\.csv"):
        read_table(tmp_path / "none.csv")


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(UserError, match=r"expected a readable table. Received: Is a"):
        read_table(tmp_path)


def test_missing_columns_name_the_nearest(tmp_path):
    message = (
        r"expected the column `image` \(the nearest is `Images`\) and `label`\. "
        r"Received: Images, x\. Look again"
    )
    with pytest.raises(UserError, match=message):
        check_columns(tmp_path, ["image", "label"], ["Images", "x"], "Look again")
    check_columns(tmp_path, ["x"], ["x", "y"], "")


def test_problems_come_all_in_the_order_of_rows():
    raise_problems("file", [])
    with pytest.raises(UserError, match=r"^file: row 3: bad$"):
        raise_problems("file", [(3, "bad")])
    with pytest.raises(UserError) as error:
        raise_problems("file", [(row, "bad") for row in range(25, 1, -1)])
    lines = str(error.value).split("\n")
    assert lines[0] == "file: 24 problems:"
    assert lines[1:] == [f"  row {row}: bad" for row in range(2, 26)]


def test_of_very_many_problems_the_first_are_shown_and_all_are_in_a_file():
    with pytest.raises(UserError, match="and 9980 more: all are in ") as error:
        raise_problems("file", [(row, "bad") for row in range(10_000)])
    lines = str(error.value).split("\n")
    assert len(lines) == 22
    file = Path(lines[-1].rpartition(" ")[2])
    assert file.read_text().count("\n") == 10_000
    file.unlink()


def test_a_pipe_and_a_header_of_thousands_of_columns_end(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="no file but a pipe or device"):
        read_table(pipe)
    wide = tmp_path / "wide.csv"
    wide.write_text(",".join(map(str, range(200_000))) + "\n")
    with pytest.raises(UserError, match="expected a CSV table. Received: field larger"):
        read_table(wide)


def test_a_problem_without_a_row_names_none():
    with pytest.raises(UserError, match=r"^file: bad$"):
        raise_problems("file", [(0, "bad")])


def test_rows_are_shown_shortly():
    assert show_rows([4]) == "row 4"
    assert show_rows([4, 2]) == "rows 2, 4"
    assert show_rows(range(9)) == "rows 0, 1, 2, 3, 4 and 4 more"


def workbook(tmp_path, rows, name="table.xlsx"):
    """A workbook of one sheet, and its path; save it again after a change."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / name)
    return book, tmp_path / name


def rewritten(path, change, member="xl/worksheets/sheet1.xml"):
    """Changes the XML of a workbook as a program other than openpyxl writes it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    changed = change(parts[member])
    assert changed != parts[member]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (parts | {member: changed}).items():
            archive.writestr(name, content)
    return path


def test_a_workbook_gives_the_text_of_the_csv_it_would_be_saved_as(tmp_path):
    moment = datetime.datetime(2020, 5, 1, 10, 30)
    rows = [
        ["a", "b", "c", 2020, None],
        ["007", 7.0, 0.1, True, None],
        [" x ", 7, 1e20, "#N/A", None],
        ["two\nlines", -3.0, 1234567890123.0, moment.date(), None],
        ["NA", 2.5, False, moment, None],
        ["é", None, datetime.time(9, 5), datetime.timedelta(hours=25), None],
    ]
    _, path = workbook(tmp_path, rows)
    assert read_table(path).to_dict("list") == {
        "a": ["007", "x", "two\nlines", "NA", "é"],
        "b": ["7", "7", "-3", "2.5", ""],
        "c": ["0.1", "1e+20", "1234567890123", "FALSE", "09:05:00"],
        "2020": ["TRUE", "#N/A", "2020-05-01", "2020-05-01T10:30:00", "1 day, 1:00:00"],
        "csv_row": [2, 3, 4, 5, 6],
    }


def test_rows_of_a_workbook_have_the_numbers_that_excel_shows(tmp_path):
    book, path = workbook(tmp_path, [["a", "b"], ["x", 1]])
    book.active["A5"], book.active["B7"] = "y", "only b"
    book.active["A9"].font = openpyxl.styles.Font(bold=True)  # an empty cell with looks
    book.active["Z9"] = "  "
    book.save(path)
    rows = read_table(path)
    assert rows["csv_row"].to_list() == [2, 5, 7]
    assert rows["a"].to_list() == ["x", "y", ""]
    book.active["C5"] = "beyond the header"
    book.save(path)
    with pytest.raises(UserError, match=r"row 5: expected 2 cells. Received: 3"):
        read_table(path)


def test_what_a_file_is_its_bytes_say_and_not_its_name(tmp_path):
    _, path = workbook(tmp_path, [["a"], ["x"]], "table.csv.xlsx")
    renamed = path.rename(tmp_path / "table.csv")
    assert read_table(renamed)["a"].to_list() == ["x"]
    text = tmp_path / "text.xlsx"
    text.write_text("a;b\nx;y\n")
    assert read_table(text)["b"].to_list() == ["y"]


@pytest.mark.parametrize(
    ("names", "received"),
    [
        (["data.csv"], "a ZIP file with data.csv; open it in"),
        (["mimetype", "content.xml"], r"a workbook of another kind \(.xlsb, .ods\)"),
        (["xl/workbook.bin"], "another kind"),
        (["xl/workbook.xml"], "expected an Excel workbook that can be read. Received"),
    ],
)
def test_archives_that_are_no_workbook_say_what_to_do(tmp_path, names, received):
    path = tmp_path / "table.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    with pytest.raises(UserError, match=received) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_workbook_is_named(tmp_path):
    _, path = workbook(tmp_path, [["a"], ["x"]])
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(UserError, match="a damaged one .*; open it in a spreadsheet"):
        read_table(path)


def test_the_only_filled_visible_sheet_is_read(tmp_path):
    book, path = workbook(tmp_path, [["a"], ["x"]])
    book.create_sheet("Empty", 0)
    book.create_sheet("Lists")["A1"] = "hidden"
    book["Lists"].sheet_state = "hidden"
    book.save(path)
    assert read_table(path)["a"].to_list() == ["x"]
    book["Lists"].sheet_state = "visible"
    book.save(path)
    message = "expected one sheet with a table. Received: 'Sheet', 'Lists'; keep one"
    with pytest.raises(UserError, match=message):
        read_table(path)


def test_an_empty_workbook_has_no_header(tmp_path):
    _, path = workbook(tmp_path, [])
    with pytest.raises(
        UserError, match="expected a header .* Received: an empty first"
    ):
        read_table(path)


def test_merged_cells_are_refused(tmp_path):
    book, path = workbook(tmp_path, [["a", "b"], ["p1", 1], [None, 2], ["p2", 3]])
    book.active.merge_cells("A2:A3")
    book.save(path)
    with pytest.raises(
        UserError, match=r"merged cells.* Received: A2:A3; unmerge and fill them"
    ):
        read_table(path)


def test_hidden_rows_are_refused_where_they_hold_something(tmp_path):
    book, path = workbook(tmp_path, [["a"], ["x"], ["y"]])
    book.active.row_dimensions[9].hidden = True
    book.active.column_dimensions["A"].hidden = True
    book.save(path)
    assert read_table(path)["a"].to_list() == ["x", "y"]
    book.active.row_dimensions[3].hidden = True
    book.save(path)
    with pytest.raises(UserError, match=r"hidden or filtered rows.* row 3; show them"):
        read_table(path)


def test_formulas_count_by_the_value_that_was_last_computed(tmp_path):
    rows = [["a", "b"], ["x", "=1+1"], ["y", '=""'], ["z", "=A1&A2"]]
    _, path = workbook(tmp_path, rows)
    with pytest.raises(
        UserError, match=r"never computed, in B2, B3, B4; open the work"
    ):
        read_table(path)

    def computed(xml):
        # The empty value is written in two ways, with and without lxml.
        xml = re.sub(rb"<v ?/>", b"<v></v>", xml)
        xml = xml.replace(b"<f>1+1</f><v></v>", b"<f>1+1</f><v>2</v>")
        xml = xml.replace(b'r="B3"', b'r="B3" t="str"')
        xml = xml.replace(b'r="B4"', b'r="B4" t="str"')
        return xml.replace(b"A2</f><v></v>", b"A2</f><v>ax</v>")

    assert read_table(rewritten(path, computed))["b"].to_list() == ["2", "", "ax"]


def test_merged_cells_and_hidden_rows_are_seen_under_a_prefix(tmp_path):
    book, path = workbook(tmp_path, [["a"], ["x"], ["y"]])
    book.active.row_dimensions[3].hidden = True
    book.save(path)

    def prefixed(xml):
        xml = re.sub(rb"<(/?)(?=[a-z])", rb"<\1x:", xml)
        return xml.replace(b" xmlns=", b" xmlns:x=")

    with pytest.raises(UserError, match="hidden or filtered rows"):
        read_table(rewritten(path, prefixed))


def test_a_sheet_that_claims_a_million_rows_is_read_as_what_it_holds(tmp_path):
    _, path = workbook(tmp_path, [["a", "b"], ["x", 1]])
    path = rewritten(path, lambda xml: xml.replace(b"A1:B2", b"A1:XFD1048576"))
    assert read_table(path)["csv_row"].to_list() == [2]


def test_a_sheet_of_too_many_cells_is_refused_before_they_are_made(
    tmp_path, monkeypatch
):
    book, path = workbook(tmp_path, [["a", "b"], ["x", 1], ["y", 2]])
    book.active["XFD2"].font = openpyxl.styles.Font(bold=True)
    book.save(path)
    assert read_table(path)["a"].to_list() == ["x", "y"]
    monkeypatch.setattr(table_files, "MOST_CELLS", 16_000)
    with pytest.raises(UserError, match=r"up to 16000 cells .* more, in row 2; delete"):
        read_table(path)
    monkeypatch.setattr(table_files, "LARGEST_WORKBOOK", 1_000)
    with pytest.raises(
        UserError, match=r"up to 1000 bytes when unpacked. Received: \d+"
    ):
        read_table(path)


def test_a_row_beyond_the_last_of_excel_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "LAST_ROW", 1000)
    _, path = workbook(tmp_path, [["a"], ["x"]])
    far = rewritten(path, lambda xml: xml.replace(b'="2"', b'="99999999999"'))
    with pytest.raises(UserError, match="1000 rows. Received: more, in row 1001"):
        read_table(far)


def test_words_for_missing_are_these_and_no_others():
    words = [
        "",
        " ",
        "NA",
        "n/a",
        "#N/A",
        "NaN",
        "null",
        "not  available",
        "Unknown",
        "?",
    ]
    assert all(map(is_missing, [*words, np.nan]))
    assert not any(map(is_missing, ["none", "no", "0", "-", "nano"]))
    assert all(map(names_nobody, [*words, "None"]))
    assert not any(map(names_nobody, ["0", "nan1", "NN"]))


def test_numbers_may_have_a_decimal_comma():
    numbers = to_numbers(pd.Series(["0,5", "0.5", "1e-3", "1,234,567", "x", ""]))
    np.testing.assert_array_equal(numbers, [0.5, 0.5, 0.001, *[np.nan] * 3])


@pytest.mark.parametrize(
    ("word", "other"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1.00", " 01"),
        ("+2.50", 2.5),
        ("-0.5", "-0.50"),
        (0, "0.0"),
        (100, "100"),
        ("Benign ", "benign"),
        ("not  sure", "Not sure"),
    ],
)
def test_equal_words_are_equal(word, other):
    assert normalize_word(word) == normalize_word(other)


@pytest.mark.parametrize(
    ("word", "other"), [("1", "10"), ("1", "-1"), ("1.5", "15"), ("0", ""), ("a", "b")]
)
def test_different_words_differ(word, other):
    assert normalize_word(word) != normalize_word(other)
