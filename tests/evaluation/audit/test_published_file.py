"""The YAML of published measures: every mistake in it is one line."""

import pytest
import yaml

from usgland.errors import UserError
from usgland.evaluation.audit import published_file
from usgland.evaluation.audit.published_file import (
    AuditFile,
    paper_path,
    read_audit_file,
)

ROW = {"cases": "all", "sensitivity": "0.90", "specificity": "0.80"}
GOOD = {
    "title": "A paper",
    "cases": {"all": {"unit": "patient", "malignant": 10, "benign": 20}},
    "rows": {"A": ROW, "B": ROW},
}
TABLE = {"groups": ["x", "y"], "n": [3, 4], "rows": {}}
FIGURE = {"a": "A", "b": "B", "figure": "accuracy", "p": "<0.05"}


def write(folder, **changes):
    path = folder / "figures.yaml"
    path.write_text(yaml.safe_dump(GOOD | changes))
    return path


def table(**row):
    return {"tables": {"T": TABLE | {"rows": {"r": row}}}}


def test_the_papers_file_is_found_and_valid():
    path = paper_path()
    assert path.parent.name == "configs"
    file = read_audit_file(path)
    assert len(file.rows) == 11
    assert (
        sum(row.p is not None for t in file.tables.values() for row in t.rows.values())
        == 28
    )


def test_a_file_of_another_paper_is_read(tmp_path):
    file = read_audit_file(write(tmp_path, comparisons=[FIGURE]))
    assert file.rows["A"].printed() == {"sensitivity": "0.90", "specificity": "0.80"}
    assert file.rounding == "either"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": {"A": ROW | {"f1": 0.9}}}, "in quotes.*Received: 0.9"),
        ({"rows": {"A": ROW | {"f1": "high"}}}, "a number as printed.*'high'"),
        (
            {"rows": {"A": ROW | {"f2": "0.9"}}},
            "unknown setting.*the nearest is `rows.A.f1`",
        ),
        (
            {"rows": {"A": ROW | {"cases": "none"}}},
            r"expected a name among cases \(all\), not none",
        ),
        ({"rows": {"A": ROW | {"f1": ">0.9"}}}, "not a limit. Received: '>0.9'"),
        ({"cases": {"all": {"malignant": 9, "benign": 9999}}}, "equal to 5000"),
        ({"rows": {"A": ROW | {"f1": "85"}}}, 'such as "0.85" or "85%". Received: .85'),
        ({"rows": {"A": ROW | {"auc": "-0.5"}}}, "a number from 0. Received: '-0.5'"),
        ({"rows": {"A": ROW | {"kappa": "1.2"}}}, "at most 1 or 100%.*Received: '1.2'"),
        ({"comparisons": [FIGURE | {"p": "5"}]}, "at most 1 or 100%.*Received: '5'"),
        (table(counts=[[1, 2], [3, 1]], p="-0.1"), "a number from 0. Received"),
        ({"cases": {}}, r"a name among cases \(none\), not all"),
        ({"rows": {"A": {"cases": "all"}}}, "sensitivity.*Field required"),
        ({"cases": {"all": {"malignant": 3}}}, "malignant and benign, or neither"),
        (
            {"cases": {"all": {"malignant": 3, "benign": 4, "total": 7}}},
            "total only without malignant and benign",
        ),
        ({"cases": {"all": {"unit": "lobe"}}}, "'patient', 'image' or 'lesion'"),
        ({"comparisons": [FIGURE | {"a": "C"}]}, "names among rows, not 'C'"),
        ({"comparisons": [FIGURE | {"figure": "f1"}]}, "'sensitivity', 'specificity'"),
        (
            table(moments=[["50", "-1"], ["40", "2"]], counts=None),
            "expected SDs of 0 or more, not -1, 2",
        ),
        (table(p="0.1"), "either counts, with or without percents, or moments"),
        (table(counts=[[1, 2], [3]]), "as many counts in each group"),
        (table(counts=[[1, 2]]), "r: expected 2 groups, not 1"),
        (table(counts=[[1, -2], [3, 1]]), "greater than or equal to 0"),
        ({"tables": {"T": TABLE | {"n": [3]}}}, "n of 2 groups, not of 1"),
        ({"prevalences": [1.0]}, "less than 1"),
        ({"largest": 5000}, "less than or equal to 1000"),
        ({"titles": "x"}, "unknown setting `titles`; the nearest is `title`"),
        ({"rounding": "up"}, "'rounded', 'truncated' or 'either'"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path, changes, message):
    path = write(tmp_path, **changes)
    with pytest.raises(UserError, match=message) as error:
        read_audit_file(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.yaml: expected a readable YAML"):
        read_audit_file(tmp_path / "nowhere.yaml")


def test_an_installation_without_the_file_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(published_file, "shipped_file", tmp_path.joinpath)
    with pytest.raises(UserError, match="Received: none. Name a file: `usgland audit"):
        paper_path()


def test_a_title_alone_is_a_file():
    assert AuditFile(title="A paper").rows == {}
