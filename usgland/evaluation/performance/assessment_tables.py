"""The tables of calibration, net benefit and subgroups."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from usgland.evaluation.performance.subgroups import MEASURES as SHOWN
from usgland.evaluation.shown import text
from usgland.evaluation.shown.names import NAMES, UNITS
from usgland.evaluation.shown.table import Document, Paragraph, Table, rows

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


def calibration_table(metrics: dict[str, Any], units: Sequence[str] = UNITS) -> Table:
    """Slope, calibration in the large and errors, per image and per patient."""
    parts = [metrics["calibration"][unit] for unit in units]
    lines = [
        (words, *(text.format_measure(part[name]) for part in parts))
        for name, words in RIGHT.items()
    ]
    for name, words in ERRORS.items():
        cells = [
            f"{text.format_number(error['value'])} in {error['bins']}, by chance "
            f"{text.format_number(error['if_calibrated'])}"
            for error in (part[name] for part in parts)
        ]
        lines.append((words, *cells))
    # Of a run that an earlier version evaluated, there is neither.
    if all("smooth" in part for part in parts):
        lines += _smooth_lines(parts)
    return Table(
        heads=("", *(f"per {unit}" for unit in units)),
        sections=(rows(lines),),
        title=_title(metrics, "Calibration", "intervals"),
    )


def _smooth_lines(parts: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The distance of the smooth curve, and the Brier score with its parts."""
    number = text.format_number
    ici = [
        f"{number(part['smooth']['ici'])}, by chance "
        f"{number(part['smooth']['ici_if_calibrated'])}"
        if not part["smooth"]["reason"]
        else "undefined"
        for part in parts
    ]
    far = [
        "undefined"
        if part["smooth"]["reason"]
        else f"{number(part['smooth']['e50'])} / {number(part['smooth']['e90'])}"
        for part in parts
    ]
    brier = [
        f"{number(part['brier']['brier'])} / {number(part['brier']['scaled'])}"
        for part in parts
    ]
    made = [
        f"{number(part['brier']['miscalibration'])} / "
        f"{number(part['brier']['discrimination'])}"
        for part in parts
    ]
    return [
        ("ICI, of a smooth curve", *ici),
        ("E50 / E90, likewise", *far),
        ("Brier score / scaled (1 is best)", *brier),
        ("Brier: miscalibration / discrimination", *made),
    ]


def calibration_document(metrics: dict[str, Any]) -> Document:
    """`calibration_table`, and the bins of the curve of each unit."""
    tables = [calibration_table(metrics)]
    for unit in UNITS:
        lines = [
            (
                str(part["n"]),
                text.format_number(part["mean_probability"]),
                str(part["malignant"]),
                text.format_interval(part["share"], part["low"], part["high"]),
            )
            for part in metrics["calibration"][unit]["curve"]
        ]
        heads = ("n", "mean P(malignant)", "malignant", "share (Wilson interval)")
        title = f"Bins of equal counts, per {unit}"
        tables.append(Table(heads=heads, sections=(rows(lines),), title=title))
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
            points = pd.DataFrame({name: curve[name] for name in names}).to_dict(
                "records"
            )
            whole = {"unit": unit} | {key: curve[key] for key in shared}
            records += [whole | point for point in points]
            lines = [
                (
                    f"{point['threshold']:g}",
                    text.format_interval(point["model"], point["low"], point["high"]),
                    text.format_number(point["treat_all"]),
                    text.format_number(point["treat_none"]),
                )
                for point in points
                if point["threshold"] in SHOWN_THRESHOLDS
            ]
            heads = ("act from", "by the model", "on all", "on none")
            title = f"Per {unit}, n = {curve['n']}, prevalence "
            title += f"{curve['prevalence']:.3g} ({whose})"
            blocks.append(Table(heads, (rows(lines),), title))
    note = (
        "True positives a case, less false positives weighed by the odds of the "
        "threshold. At a given prevalence sensitivity and specificity stay as they "
        "are and probabilities are not shifted."
    )
    return _document(metrics, blocks, ("unit", *shared, *names), records, [note])


def subgroup_tables(metrics: dict[str, Any], units: Sequence[str]) -> list[Table]:
    """The groups of every column, a table a unit; notes stand below the last."""
    tables = []
    for column, part in metrics["subgroups"].items():
        for unit in units:
            lines = [
                (
                    f"{group['group']}{' (!)' if group['small'] else ''}",
                    *(str(group[key]) for key in ("n", "n_benign", "n_malignant")),
                    *(text.format_measure(group["figures"][name]) for name in SHOWN),
                )
                for group in part[unit]["groups"]
            ]
            counts = ("", f"{unit}s", "benign", "malignant")
            heads = (*counts, *(NAMES[name] for name in SHOWN))
            notes = _subgroup_notes(part) if unit == units[-1] else ()
            title = f"By {column}, per {unit}"
            tables.append(Table(heads, (rows(lines),), title, notes))
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
    level = text.format_percent(metrics["confidence_level"])
    return f"{what}, role {metrics['role']}, {level} {bounds}"


def _calibration_records(part: dict[str, Any]) -> list[dict[str, Any]]:
    """One a measure and one a bin, of one unit."""
    records = [{"figure": name} | part[name] for name in RIGHT]
    for name in ERRORS:
        error = part[name]
        method = f"{error['bins']} bins; by chance {error['if_calibrated']}"
        records.append({"figure": name, "value": error["value"], "method": method})
    for name in ("ici", "e50", "e90") if "smooth" in part else ():
        made = part["smooth"]["method"] or f"none: {part['smooth']['reason']}"
        record = {"figure": name, "value": part["smooth"][name], "method": made}
        records.append(record)
    for name in part.get("brier", {}):
        shown = name if name == "brier" else f"brier_{name}"
        records.append({"figure": shown, "value": part["brier"][name], "method": ""})
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
        known = text.known_number(test["p_value"]) is not None
        p_value = f"P {text.format_p(test['p_value'])}" if known else "no test"
        tests.append(f"{NAMES[name]} {p_value} ({test['method']})")
    notes.append(
        f"Do the groups differ, per patient, without `missing`: {'; '.join(tests)}. "
        "Not adjusted for several tests."
    )
    return tuple(notes)
