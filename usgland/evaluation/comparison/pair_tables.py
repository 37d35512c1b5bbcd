"""The comparison of models: on the terminal, as Markdown and as CSV."""

import csv
import io
from typing import Any

from rich.console import Console
from rich.table import Table

from usgland.evaluation.shown.names import NAMES, UNITS
from usgland.evaluation.shown.text import SYNTHETIC, format_p, print_synthetic

HEADS = ("", "a", "b", "a - b", "P", "Holm")
CSV_COLUMNS = (
    "synthetic",
    "unit",
    "a",
    "b",
    "n_a",
    "n_b",
    "figure",
    "value_a",
    "value_b",
    "difference",
    "low",
    "high",
    "level",
    "p_value",
    "holm",
    "method",
    "reason",
)


def print_comparison(found: dict[str, Any], console: Console) -> None:
    """Shows every pair in 80 columns.

    Args:
        found: As `compare_models` gives it.
        console: Where to.
    """
    print_synthetic(found["synthetic"], console)
    for unit in (one for one in UNITS if one in found):
        for (a, b), rows in _by_pair(found[unit]["pairs"]).items():
            table = Table(
                title=_head(found, unit, a, b),
                title_justify="left",
                title_style="bold",
            )
            for head in HEADS:
                table.add_column(head, justify="right" if head else "left")
            for row in rows:
                table.add_row(*_cells(row))
            console.print(table)
            for line in _notes(rows):
                console.print(line, highlight=False, markup=False)
    console.print(_note(found), highlight=False, markup=False)


def comparison_markdown(found: dict[str, Any]) -> str:
    """The same tables as Markdown."""
    lines = [f"**{SYNTHETIC}**", ""] if found["synthetic"] else []
    for unit in (one for one in UNITS if one in found):
        for (a, b), rows in _by_pair(found[unit]["pairs"]).items():
            lines += [f"**{_head(found, unit, a, b)}**", ""]
            lines += [f"| {' | '.join(HEADS)} |", "|---|---:|---:|---:|---:|---:|"]
            lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
            lines += ["", *(f"- {line}" for line in _notes(rows)), ""]
    return "\n".join([*lines, _note(found)]) + "\n"


def comparison_csv(found: dict[str, Any]) -> str:
    """One row a unit, pair and measure, in full precision; empty where undefined."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for unit in (one for one in UNITS if one in found):
        shared = {
            "synthetic": str(found["synthetic"]).lower(),
            "unit": unit,
            "level": found["level"],
        }
        for row in found[unit]["pairs"]:
            known = {k: v for k, v in row.items() if k in CSV_COLUMNS and v == v}
            cases = found[unit]["cases"]
            known |= {f"n_{side}": cases[row[side]]["n"] for side in ("a", "b")}
            writer.writerow(shared | known)
    return text.getvalue()


def _by_pair(rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        pairs.setdefault((row["a"], row["b"]), []).append(row)
    return pairs


def _head(found: dict[str, Any], unit: str, a: str, b: str) -> str:
    """What was compared: the cases of both, and their count once where it is one."""
    counts = [found[unit]["cases"][name] for name in (a, b)]
    texts = []
    for part in counts:
        text = f"n = {part['n']} ({part['n_benign']} benign, "
        text += f"{part['n_malignant']} malignant)"
        rounds = part["rounds"]
        texts.append(text + (f", each in {rounds} rounds" if rounds > 1 else ""))
    if found["paired"]:
        return f"Per {unit}, {texts[0]}: a = {a}, b = {b}"
    return f"Per {unit}, UNPAIRED: a = {a}, {texts[0]}; b = {b}, {texts[1]}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    difference = f"{row['difference']:+.3f}"
    if row["low"] == row["low"]:
        difference += f" ({row['low']:+.3f} to {row['high']:+.3f})"
    return (
        NAMES[row["figure"]],
        f"{row['value_a']:.3f}",
        f"{row['value_b']:.3f}",
        difference,
        format_p(row["p_value"]),
        format_p(row["holm"]),
    )


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    notes = []
    for key in ("method", "reason"):
        for text in dict.fromkeys(row[key] for row in rows if row[key]):
            measures = [NAMES[row["figure"]] for row in rows if row[key] == text]
            notes.append(f"{', '.join(measures)}: {text}.")
    notes += [_margin_note(row) for row in rows if row["non_inferiority"]]
    folds = [row["folds"] for row in rows if row.get("folds")]
    return [*notes, *map(_folds_note, folds)]


def _margin_note(row: dict[str, Any]) -> str:
    judged = row["non_inferiority"]
    start = (
        f"Non-inferiority of a by a margin of {judged['margin']:g} in "
        f"{NAMES[row['figure']]}: "
    )
    if judged["shown"] is None:
        return f"{start}cannot be said, there is no interval."
    return (
        f"{start}{'shown' if judged['shown'] else 'not shown'} (one-sided P "
        f"{format_p(judged['p_value'])}, lower bound {judged['low']:+.3f})."
    )


def _folds_note(folds: dict[str, Any]) -> str:
    left_out, used = "", folds["folds"]
    if used < 2:
        known = f"{used} of {used + folds['left_out']}"
        return f"No test over folds: {known} have both classes."
    if folds["left_out"]:
        left_out = f" ({folds['left_out']} left out: one class only)"
    p_value = format_p(folds["p_value"]) or "undefined"
    return (
        f"Over {used} folds{left_out} the mean AUC difference is "
        f"{folds['mean']:+.3f}, P {p_value} (t test corrected for shared training "
        "cases, Nadeau and Bengio)."
    )


def _note(found: dict[str, Any]) -> str:
    return (
        f"{100 * found['level']:g}% intervals. Holm: adjusted over all tests of a unit "
        "in this output. Images, and rounds of cross-validation, are clustered by "
        "patient."
    )
