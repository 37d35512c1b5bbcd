"""The table of checks, as it is read on a terminal of 80 columns."""

import io
import math

from rich.console import Console

from usgland.evaluation.shown.terminal import show
from usgland.serving.portable.file_checks import ALL, ONE
from usgland.serving.portable.file_tables import checks_document

SHEET = {
    "trained_on": {"synthetic": False},
    "threads": 2,
    "validation": {"images": 74, "malignant": 27, "patients": 70},
    "run": {"roc_auc": 0.88888, ALL: 8.0},
    "files": {
        "fp32.tflite": {
            "bytes": 2_913_764,
            "max_difference": 4.2e-7,
            "roc_auc": 0.88888,
            ONE: 4.0,
            ALL: 2.0,
        },
        "int8.tflite": {
            "bytes": 827_320,
            "max_difference": math.nan,
            "roc_auc": math.nan,
            ONE: math.nan,
            ALL: math.nan,
        },
    },
    "preprocess.py": {
        "images": 74,
        "unread": 0,
        "equal": 74,
        "largest_share": 0.0,
        "max_difference": 0.0,
    },
}


def printed(**changes):
    console = Console(file=io.StringIO(), width=80)
    show(checks_document({**SHEET, **changes}), console)
    return console.file.getvalue().splitlines()


def notes(lines):
    """What stands below the table, as one line."""
    return " ".join(" ".join(lines).rpartition("┘")[2].split())


def cells(lines, name):
    (line,) = (line for line in lines if f"│ {name} " in line)
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_every_file_has_a_row_beside_the_run():
    lines = printed()
    assert max(map(len, lines[:9])) <= 80
    assert lines[0].startswith(
        "Against the run, on 74 validation images (27 malignant, 70 patients)"
    )
    assert cells(lines, "run, TensorFlow") == [
        *("run, TensorFlow", "", "", "0.8889", "", "8.00")
    ]
    assert cells(lines, "fp32.tflite") == [
        *("fp32.tflite", "2914", "4e-07", "0.8889", "4.00", "2.00")
    ]
    assert cells(lines, "int8.tflite")[2:] == ["-"] * 4
    shares = "with 1 and 2 threads: fp32.tflite 0.50, 0.25"
    assert lines[-2] == f"Time as a share of TensorFlow's, {shares}"
    assert lines[-1] == "preprocess.py makes the same pixels of 74 of 74 images"


def test_differing_and_unread_images_are_told():
    made = {
        "images": 74,
        "unread": 3,
        "equal": 70,
        "largest_share": 0.00034,
        "max_difference": 0.0021,
    }
    assert notes(printed(**{"preprocess.py": made})).endswith(
        "preprocess.py makes the same pixels of 70 of 71 images; elsewhere at most "
        "0.03% of the pixels differ, and P(malignant) by 0.002 preprocess.py refuses 3 "
        "others, which Pillow reads otherwise than the model does"
    )


def test_a_form_alone_and_few_synthetic_cases_are_told():
    few = {"images": 6, "malignant": 2, "patients": 6, "role": "train"}
    lines = printed(
        **{"preprocess.py": None, "validation": few, "trained_on": {"synthetic": True}}
    )
    assert "SYNTHETIC DATA" in lines[1]
    assert "Few training images: one pair that swaps moves the AUC by 0.125" in (
        notes(lines)
    )
    assert "preprocess" not in "".join(lines)
