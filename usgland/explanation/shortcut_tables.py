"""The shortcut probes in words and as a table; the verdict is the first line."""

import pandas as pd
from rich.console import Console
from rich.table import Table

from usgland.evaluation.shown.text import SYNTHETIC, print_synthetic
from usgland.explanation.regions import BAND
from usgland.explanation.shortcuts import FRAME, NAMES

TITLE = "AUC per image with parts of the images taken away"


def verdict(table: pd.DataFrame) -> str:
    """One sentence: how much of the AUC is left without the lesion.

    Args:
        table: As `probe_shortcuts` gives it. Without masks it judges the frame.
    """
    rows = table.set_index("probe")
    probe, what = "no_box", "Without the lesion"
    if probe not in rows.index:
        probe, what = "frame_only", "From the frame of the image alone"
    left, whole = rows.loc[probe], rows.loc["as_is"]
    against = f"against {whole['value']:.2f} with the whole image"
    if left["value"] != left["value"]:
        return f"{what}: the AUC is not defined, as cases of one label are missing."
    auc = f"AUC {left['value']:.2f}"
    if left["low"] == left["low"]:
        auc += f" ({left['low']:.2f} to {left['high']:.2f})"
        if left["low"] > 0.5:
            return (
                f"{what} the model still reaches {auc}, {against}: a part of what it "
                "goes by lies elsewhere."
            )
    return f"{what} the model has {auc}, {against}: not shown to be better than chance."


def print_shortcuts(
    table: pd.DataFrame, said: list[str], console: Console, *, synthetic: bool
) -> None:
    """Shows the verdict, the table in 80 columns, and what `notes` says of it."""
    print_synthetic(synthetic, console)
    console.print(verdict(table), style="bold", highlight=False)
    shown = Table(title=TITLE, title_justify="left", box=None)
    shown.add_column("")
    shown.add_column("AUC", justify="right")
    shown.add_column("images", justify="right")
    for _, row in table.iterrows():
        shown.add_row(NAMES[row["probe"]], _auc(row), str(row["n"]))
    console.print(shown)
    for note in said:
        console.print(note, highlight=False, markup=False)


def shortcuts_markdown(table: pd.DataFrame, said: list[str], *, synthetic: bool) -> str:
    """The same as Markdown; the report shows its first line as a warning."""
    lines = [verdict(table), ""]
    lines += [f"**{SYNTHETIC}**", ""] if synthetic else []
    lines += [f"**{TITLE}**", "", "| | AUC | images |", "|---|---:|---:|"]
    lines += [
        f"| {NAMES[row['probe']]} | {_auc(row)} | {row['n']} |"
        for _, row in table.iterrows()
    ]
    return "\n".join([*lines, "", *(f"- {note}" for note in said)]) + "\n"


def notes(table: pd.DataFrame, size: int, *, with_form: bool) -> list[str]:
    """What was taken away, and what may still be seen."""
    pixels = max(1, round(size * BAND))
    found = []
    if with_form:
        found.append(
            "The form is withheld, also with the whole image: it would tell the label "
            "whatever the image has lost."
        )
    if "no_lesion" in set(table["probe"]):
        found.append(
            f"The lesion is its mask and {pixels} of {size} pixels around it, filled "
            "with the mean grey beside it. Size, place and, but for the box, outline "
            "of what was filled can still be seen, and may tell the label."
        )
    found.append(
        f"Frame: the outer {100 * FRAME:g}% of each side, the rest filled. Overlays: "
        "bright thin strokes and colours; thin bright tissue is among them."
    )
    made = table.loc[table["low"].notna(), "interval"]
    found.append(
        f"Intervals: {made.iloc[0]}." if len(made) else "No interval could be made."
    )
    return found


def _auc(row: pd.Series) -> str:
    if row["value"] != row["value"]:
        return "undefined"
    if row["low"] != row["low"]:
        return f"{row['value']:.3f} (no interval)"
    return f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
