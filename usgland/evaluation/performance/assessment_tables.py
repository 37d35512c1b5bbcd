"""The tables of calibration, net benefit and subgroups."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from usgland.evaluation.performance.subgroups import MEASURES as SHOWN
from usgland.evaluation.shown.names import NAMES, UNITS
from usgland.evaluation.shown.table import Document, Paragraph, Table, rows
from usgland.evaluation.shown.text import (
    format_interval,
    format_measure,
    format_number,
    format_p,
    format_percent,
    known_number,
)

# Of the thresholds, in the table that people read; the CSV has all.
SHOWN_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RIGHT = {
    "slope": "Calibration slope (1 is right)",
    "intercept_in_the_large": "Calibration in the large (0 is right)",
}
ERRORS = {
    "ece_equal_count": "ECE, bins of equal counts",
    "ece_equal_width": "ECE, bins of equal width",
}
SHARED = ("synthetic", "role", "confidence_level")  # columns of every CSV


def calibration_table(metrics: dict[str, Any]) -> Table:
    """Slope, calibration in the large and errors, per image and per patient.

    Args:
        metrics: With calibration as `assess` adds it.
    """
    parts = [metrics["calibration"][unit] for unit in UNITS]
    lines = [
        (text, *(format_measure(part[name]) for part in parts))
        for name, text in RIGHT.items()
    ]
    for name, text in ERRORS.items():
        cells = [
            f"{format_number(error['value'])} in {error['bins']}, by chance "
            f"{format_number(error['if_calibrated'])}"
            for error in (part[name] for part in parts)
        ]
        lines.append((text, *cells))
    return Table(
        heads=("", *(f"per {unit}" for unit in UNITS)),
        sections=(rows(lines),),
        title=_title(metrics, "Calibration", "intervals"),
    )


def calibration_document(metrics: dict[str, Any]) -> Document:
    """`calibration_table`, and the bins of the curve of each unit."""
    tables = [calibration_table(metrics)]
    for unit in UNITS:
        lines = [
            (
                str(part["n"]),
                format_number(part["mean_probability"]),
                str(part["malignant"]),
                format_interval(part["share"], part["low"], part["high"]),
            )
            for part in metrics["calibration"][unit]["curve"]
        ]
        tables.append(
            Table(
                heads=(
                    "n",
                    "mean P(malignant)",
                    "malignant",
                    "share (Wilson interval)",
                ),
                sections=(rows(lines),),
                title=f"Bins of equal counts, per {unit}",
            )
        )
    notes = [
        f"Interval, {RIGHT[name].partition(' (')[0].lower()} per {unit}: "
        f"{metrics['calibration'][unit][name]['method']}."
        for name in RIGHT
        for unit in UNITS
    ]
    notes.append(
        "ECE is never below 0; `by chance` is its mean for a perfectly calibrated "
        "model on as many cases. Wilson intervals take cases for independent."
    )
    records = [
        {"unit": unit, "n": metrics["calibration"][unit]["n"]} | record
        for unit in UNITS
        for record in _calibration_records(metrics["calibration"][unit])
    ]
    columns = ("unit", "figure", "value", "low", "high", "n", "malignant")
    more = ("mean_probability", "method")
    return _document(metrics, tables, (*columns, *more), records, notes)


def decision_curve_document(metrics: dict[str, Any]) -> Document:
    """Net benefit at some thresholds; the records have all of them."""
    names = ("threshold", "model", "low", "high", "treat_all", "treat_none")
    shared = ("n", "prevalence", "given")
    blocks: list[Table | Paragraph] = [
        Paragraph(_title(metrics, "Net benefit", "bands"), bold=True)
    ]
    records = []
    for curves in metrics["decision_curve"]:
        for unit in UNITS:
            curve = curves[unit]
            whose = "given" if curve["given"] else "of these cases"
            points = [
                dict(zip(names, values, strict=True))
                for values in zip(*(curve[name] for name in names), strict=True)
            ]
            records += [
                {"unit": unit} | {key: curve[key] for key in shared} | point
                for point in points
            ]
            lines = [
                (
                    f"{point['threshold']:g}",
                    format_interval(point["model"], point["low"], point["high"]),
                    format_number(point["treat_all"]),
                    format_number(point["treat_none"]),
                )
                for point in points
                if point["threshold"] in SHOWN_THRESHOLDS
            ]
            blocks.append(
                Table(
                    heads=("act from", "by the model", "on all", "on none"),
                    sections=(rows(lines),),
                    title=f"Per {unit}, n = {curve['n']}, prevalence "
                    f"{curve['prevalence']:.3g} ({whose})",
                )
            )
    note = (
        "True positives a case, less false positives weighed by the odds of the "
        "threshold. At a given prevalence sensitivity and specificity stay as they "
        "are and probabilities are not shifted."
    )
    return _document(metrics, blocks, ("unit", *shared, *names), records, [note])


def subgroup_tables(metrics: dict[str, Any], units: Sequence[str]) -> list[Table]:
    """The groups of every column, a table a unit.

    Args:
        metrics: With subgroups as `assess` adds them.
        units: Which, in their order; what holds for all stands below the last.
    """
    tables = []
    for column, part in metrics["subgroups"].items():
        for unit in units:
            lines = [
                (
                    f"{group['group']}{' (!)' if group['small'] else ''}",
                    *(str(group[key]) for key in ("n", "n_benign", "n_malignant")),
                    *(format_measure(group["figures"][name]) for name in SHOWN),
                )
                for group in part[unit]["groups"]
            ]
            heads = ("", f"{unit}s", "benign", "malignant")
            tables.append(
                Table(
                    heads=(*heads, *(NAMES[name] for name in SHOWN)),
                    sections=(rows(lines),),
                    title=f"By {column}, per {unit}",
                )
            )
        tables[-1] = dataclasses.replace(tables[-1], notes=_subgroup_notes(part))
    return tables


def subgroups_document(metrics: dict[str, Any]) -> Document:
    """The groups of every column, per patient and per image."""
    title = Paragraph(_title(metrics, "Subgroups", "intervals"), bold=True)
    records = [
        {"column": column, "unit": unit, "figure": name} | group | measure
        for column, part in metrics["subgroups"].items()
        for unit in UNITS
        for group in part[unit]["groups"]
        for name, measure in group["figures"].items()
    ]
    columns = ("column", "unit", "group", "figure", "value", "low", "high", "method")
    counts = ("undefined_resamples", "n", "n_benign", "n_malignant", "n_patients")
    blocks: list[Table | Paragraph] = [title]
    blocks += subgroup_tables(metrics, UNITS[::-1])
    return _document(metrics, blocks, (*columns, *counts, "small"), records, [])


def _document(
    metrics: dict[str, Any],
    blocks: Sequence[Table | Paragraph],
    columns: tuple[str, ...],
    records: Sequence[dict[str, Any]],
    notes: Sequence[str],
) -> Document:
    shared = {key: metrics[key] for key in SHARED}
    return Document(
        tuple(blocks),
        metrics["synthetic"],
        notes=tuple(notes),
        columns=(*SHARED, *columns),
        records=tuple(shared | record for record in records),
    )


def _title(metrics: dict[str, Any], what: str, bounds: str) -> str:
    level = format_percent(metrics["confidence_level"])
    return f"{what}, role {metrics['role']}, {level} {bounds}"


def _calibration_records(part: dict[str, Any]) -> list[dict[str, Any]]:
    """One a measure and one a bin, of one unit."""
    records = [{"figure": name} | part[name] for name in RIGHT]
    for name in ERRORS:
        error = part[name]
        method = f"{error['bins']} bins; by chance {error['if_calibrated']}"
        records.append({"figure": name, "value": error["value"], "method": method})
    for number, cases in enumerate(part["curve"], start=1):
        shown = {"figure": f"bin {number}", "value": cases["share"], "method": "Wilson"}
        records.append(shown | cases)
    return records


def _subgroup_notes(part: dict[str, Any]) -> tuple[str, ...]:
    notes = []
    if any(group["small"] for group in part["patient"]["groups"]):
        notes.append(
            f"(!) fewer than {part['small_below']} benign or malignant patients: too "
            "few to judge the group."
        )
    tests = []
    for name, test in part["patient"]["heterogeneity"].items():
        known = known_number(test["p_value"]) is not None
        text = f"P {format_p(test['p_value'])}" if known else "no test"
        tests.append(f"{NAMES[name]} {text} ({test['method']})")
    notes.append(
        f"Do the groups differ, per patient, without `missing`: {'; '.join(tests)}. "
        "Not adjusted for several tests."
    )
    return tuple(notes)
