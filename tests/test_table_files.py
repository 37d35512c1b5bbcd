import pytest

from usgland.errors import UserError
from usgland.table_files import (
    check_columns,
    normalize_word,
    raise_problems,
    read_table,
    show_rows,
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
    with pytest.raises(
        UserError, match=r"expected a readable CSV file. Received: Is a"
    ):
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


def test_a_problem_without_a_row_names_none():
    with pytest.raises(UserError, match=r"^file: bad$"):
        raise_problems("file", [(0, "bad")])


def test_rows_are_shown_shortly():
    assert show_rows([4]) == "row 4"
    assert show_rows([4, 2]) == "rows 2, 4"
    assert show_rows(range(9)) == "rows 0, 1, 2, 3, 4, …"


@pytest.mark.parametrize(
    ("one", "other"),
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
def test_equal_words_are_equal(one, other):
    assert normalize_word(one) == normalize_word(other)


@pytest.mark.parametrize(
    ("one", "other"), [("1", "10"), ("1", "-1"), ("1.5", "15"), ("0", ""), ("a", "b")]
)
def test_different_words_differ(one, other):
    assert normalize_word(one) != normalize_word(other)
