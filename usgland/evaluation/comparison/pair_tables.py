"""The tables of a comparison of models."""

from itertools import groupby
from operator import itemgetter
from typing import Any

from usgland.evaluation.shown import text
from usgland.evaluation.shown.names import NAMES, UNITS
from usgland.evaluation.shown.table import Document, Table, rows

SHARED = ("synthetic", "level")
CSV_COLUMNS = (
    *("synthetic", "unit", "a", "b", "n_a", "n_b", "figure", "value_a", "value_b"),
    *("difference", "low", "high", "level", "p_value", "holm", "method", "reason"),
)


def comparison_document(comparison: dict[str, Any]) -> Document:
    """A table a unit and pair of `compare_tables`, as it is shown and written."""
    tables, records = [], []
    for unit in (name for name in UNITS if name in comparison):
        shared = {"unit": unit, **{key: comparison[key] for key in SHARED}}
        cases = comparison[unit]["cases"]
        for (a, b), of_pair in groupby(comparison[unit]["pairs"], itemgetter("a", "b")):
            pair = list(of_pair)
            tables.append(
                Table(
                    heads=("", "a", "b", "a - b", "P", "Holm"),
                    sections=(rows(map(_cells, pair)),),
                    title=_title(comparison, unit, a, b),
                    notes=tuple(_notes(pair)),
                )
            )
            counts = {"n_a": cases[a]["n"], "n_b": cases[b]["n"]}
            records += [shared | counts | row for row in pair]
    note = (
        f"{text.format_percent(comparison['level'])} intervals. Holm: adjusted over "
        "all tests of a unit in this output. Images, and rounds of cross-validation, "
        "are clustered by patient."
    )
    return Document(
        tuple(tables),
        comparison["synthetic"],
        notes=(note,),
        columns=CSV_COLUMNS,
        records=tuple(records),
    )


def _title(comparison: dict[str, Any], unit: str, a: str, b: str) -> str:
    """What was compared: the cases of both, and their count once where it is one."""
    counts = [comparison[unit]["cases"][name] for name in (a, b)]
    shown = []
    for part in counts:
        count = f"n = {part['n']} ({part['n_benign']} benign, "
        count += f"{part['n_malignant']} malignant)"
        rounds = part["rounds"]
        shown.append(count + (f", each in {rounds} rounds" if rounds > 1 else ""))
    if comparison["paired"]:
        return f"Per {unit}, {shown[0]}: a = {a}, b = {b}"
    return f"Per {unit}, UNPAIRED: a = {a}, {shown[0]}; b = {b}, {shown[1]}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        NAMES[row["figure"]],
        text.format_number(row["value_a"]),
        text.format_number(row["value_b"]),
        text.format_interval(row["difference"], row["low"], row["high"], signed=True),
        text.format_p(row["p_value"]),
        text.format_p(row["holm"]),
    )


def _notes(pair: list[dict[str, Any]]) -> list[str]:
    notes = []
    for key in ("method", "reason"):
        for said in dict.fromkeys(row[key] for row in pair if row[key]):
            measures = [NAMES[row["figure"]] for row in pair if row[key] == said]
            notes.append(f"{', '.join(measures)}: {said}.")
    notes += [_margin_note(row) for row in pair if row["non_inferiority"]]
    notes += [_equivalence_note(row) for row in pair if row.get("equivalence")]
    return [*notes, *(_folds_note(row["folds"]) for row in pair if row.get("folds"))]


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
        f"{text.format_p(judged['p_value'])}, lower bound "
        f"{text.format_number(judged['low'], signed=True)})."
    )


def _equivalence_note(row: dict[str, Any]) -> str:
    judged = row["equivalence"]
    start = f"Equivalence within {judged['margin']:g} in {NAMES[row['figure']]}: "
    if judged["shown"] is None:
        return f"{start}cannot be said, there is no interval."
    return (
        f"{start}{'shown' if judged['shown'] else 'not shown'} (two one-sided tests, "
        f"P {text.format_p(judged['p_value'])})."
    )


def _folds_note(folds: dict[str, Any]) -> str:
    used = folds["folds"]
    if used < 2:
        known = f"{used} of {used + folds['left_out']}"
        return f"No test over folds: {known} have both classes."
    left_out = f" ({folds['left_out']} left out: one class only)"
    left_out = left_out if folds["left_out"] else ""
    mean = text.format_number(folds["mean"], signed=True)
    return (
        f"Over {used} folds{left_out} the mean AUC difference is {mean}, P "
        f"{text.format_p(folds['p_value'])} (t test corrected for shared training "
        "cases, Nadeau and Bengio)."
    )
