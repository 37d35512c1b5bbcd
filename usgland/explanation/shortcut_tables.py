"""The shortcut probes in words and as a table; the verdict is the first line."""

from typing import Any

import pandas as pd

from usgland.evaluation.shown.table import Document, Table, rows
from usgland.evaluation.shown.text import format_measure, format_number, format_percent
from usgland.explanation.faithfulness import FIRST_LOOK, interval_note
from usgland.explanation.regions import band_pixels
from usgland.explanation.shortcuts import FRAME, NAMES

OUTLINE_NOTE = (
    "The lesion alone keeps the outline that a reader drew, and that may know the "
    "label. The same outline filled with one grey shows how much the model reads from "
    "it; the ellipse around it has no outline of its own, and filled with one grey "
    "nothing but size, proportions and place."
)


def verdict(table: pd.DataFrame) -> str:
    """One sentence: how much of the AUC is left without the lesion.

    Of a table without masks it judges the frame.
    """
    records: list[dict[Any, Any]] = table.to_dict("records")
    probes = {row["probe"]: row for row in records}
    probe, what = "no_box", "Without the lesion"
    if probe not in probes:
        probe, what = "frame_only", "From the frame of the image alone"
    left, whole = probes[probe], probes["as_is"]
    against = f"against {format_number(whole['value'], 2)} with the whole image"
    if left["value"] != left["value"]:
        return f"{what}: the AUC is not defined, as cases of one label are missing."
    auc = f"AUC {format_measure(left, 2)}"
    if left["low"] > 0.5:
        return (
            f"{what} the model still reaches {auc}, {against}: a part of what it goes "
            "by lies elsewhere."
        )
    return f"{what} the model has {auc}, {against}: not shown to be better than chance."


def shortcuts_document(
    table: pd.DataFrame, remarks: list[str], *, synthetic: bool
) -> Document:
    """The verdict and the probes; the report shows its first line as a warning."""
    records: list[dict[Any, Any]] = table.to_dict("records")
    lines = [
        (NAMES[row["probe"]], format_measure(row), str(row["n"])) for row in records
    ]
    shown = Table(
        heads=("", "AUC", "images"),
        sections=(rows(lines),),
        title="AUC per image with parts of the images taken away",
        notes=tuple(remarks),
    )
    columns = tuple(table.columns)
    return Document((shown,), synthetic, (), verdict(table), columns, tuple(records))


def notes(table: pd.DataFrame, size: int, *, with_form: bool) -> list[str]:
    """What was taken away, and what may still be seen."""
    pixels, remarks = band_pixels(size), []
    if with_form:
        remarks.append(
            "The form is withheld, also with the whole image: it would tell the label "
            "whatever the image has lost."
        )
    if "no_lesion" in set(table["probe"]):
        remarks.append(
            f"The lesion is its mask and {pixels} of {size} pixels around it, filled "
            "with the mean grey beside it. Size, place and, but for the box, outline "
            "of what was filled can still be seen, and may tell the label."
        )
        remarks.append(OUTLINE_NOTE)
    remarks.append(
        f"Frame: the outer {format_percent(FRAME)} of each side, the rest filled. "
        "Overlays: bright thin strokes and colours; thin bright tissue is among them."
    )
    return [*remarks, FIRST_LOOK, interval_note(table)]
