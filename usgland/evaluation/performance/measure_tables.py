"""The tables of measures: the few that are read first, and all of them."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from usgland.evaluation.performance.table_notes import headline_warnings, metrics_notes
from usgland.evaluation.shown import names
from usgland.evaluation.shown.table import Document, Paragraph, Row, Table, rows
from usgland.evaluation.shown.text import format_measure, format_percent
from usgland.evaluation.statistics.scores import MEASURES

CSV_COLUMNS = (
    *("synthetic", "role", "operating_point", "unit", "figure", "prevalence", "value"),
    *("low", "high", "confidence_level", "method", "reason", "undefined_resamples"),
    *("n", "n_benign", "n_malignant", "n_patients", "threshold"),
)
ROLES = {
    "train": "Training part",
    "val": "Validation part",
    "test": "Test part",
    "out_of_fold": "Training part, out of fold",
}


def headline(metrics: dict[str, Any], whole: str) -> Document:
    """What is read first: four measures per patient, and what must be known of them.

    The same per image stands beside it where images and patients differ in number.
    `whole` is the name of the file of all measures.
    """
    units = ["patient"]
    if metrics["image"]["n"] != metrics["patient"]["n"]:
        units.append("image")
    lines = [
        (names.NAMES[name], *chain(*(_headline(metrics, unit, name) for unit in units)))
        for name in names.HEADLINE
    ]
    table = Table(
        title=f"{ROLES.get(metrics['role'], metrics['role'])}: measures with "
        f"{format_percent(metrics['confidence_level'])} intervals",
        heads=("", *("", "n") * len(units)),
        spans=(("", 1), *((f"per {unit}", 2) for unit in units)),
        sections=(rows(lines),),
    )
    warnings = " ".join(headline_warnings(metrics))
    warned = (Paragraph(warnings, bold=True),) if warnings else ()
    note = f"All measures are in {whole}; --full shows them here."
    return Document((table, *warned), metrics["synthetic"], notes=(note,))


def metrics_document(
    metrics: dict[str, Any], units: Sequence[str] = names.UNITS
) -> Document:
    """All measures, readable in 80 columns; the records have both units."""
    level = format_percent(metrics["confidence_level"])
    table = Table(
        title=f"Role {metrics['role']}: measures with {level} intervals",
        heads=("", *(_heading(metrics, unit) for unit in units)),
        sections=_sections(metrics, units),
        notes=tuple(metrics_notes(metrics, units)),
    )
    return Document(
        (table,),
        metrics["synthetic"],
        columns=CSV_COLUMNS,
        records=tuple(_records(metrics)),
    )


def _headline(metrics: dict[str, Any], unit: str, name: str) -> tuple[str, str]:
    """A measure with its interval, and the cases that it was made of."""
    part = metrics[unit]
    (true_benign, _), (_, true_malignant) = part["confusion"]
    counts = {
        "roc_auc": f"{part['n']}",
        "sensitivity": f"{true_malignant} of {part['n_malignant']}",
        "specificity": f"{true_benign} of {part['n_benign']}",
        "accuracy": f"{true_benign + true_malignant} of {part['n']}",
    }
    return format_measure(part["figures"][name]), counts[name]


def _heading(metrics: dict[str, Any], unit: str) -> str:
    part = metrics[unit]
    return (
        f"per {unit}, n = {part['n']}\n"
        f"{part['n_benign']} benign, {part['n_malignant']} malignant"
    )


def _sections(
    metrics: dict[str, Any], units: Sequence[str]
) -> tuple[tuple[Row, ...], ...]:
    """Rows of the table, in parts: measures, predictive values, further points."""
    parts = [metrics[unit] for unit in units]
    first = [_row(metrics, name, units) for name in MEASURES]
    for label, word in enumerate(("Benign", "Malignant")):
        counts = [part["confusion"][label] for part in parts]
        right = (f"{count[label]} of {sum(count)}" for count in counts)
        first.append((f"{word}, called right", *right))
    at_prevalences = [
        (
            f"{names.NAMES[name]} if {format_percent(float(prevalence))} malignant",
            *(format_measure(part["prevalences"][prevalence][name]) for part in parts),
        )
        for prevalence in parts[0].get("prevalences", {})
        for name in ("ppv", "npv")
    ]
    points = [_point_rows(point, units) for point in metrics.get("points", [])]
    return tuple(map(rows, (first, at_prevalences, *points)))


def _row(point: dict[str, Any], name: str, units: Sequence[str]) -> tuple[str, ...]:
    cells = (format_measure(point[unit]["figures"][name]) for unit in units)
    return names.NAMES[name], *cells


def _point_rows(point: dict[str, Any], units: Sequence[str]) -> list[tuple[str, ...]]:
    """A line that names the point and its threshold, and its measures."""
    threshold = "one threshold a fold"
    if not isinstance(point["threshold"], dict):
        threshold = f"threshold {point['threshold']:.4f}"
    title = (f"At {names.point_name(point)}:", *[threshold] * len(units))
    return [title, *(_row(point, name, units) for name in names.POINT_MEASURES)]


def _records(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """One a point, unit and measure."""
    chosen = {"threshold": metrics["threshold"], **{u: metrics[u] for u in names.UNITS}}
    points = [chosen | (metrics.get("operating_point") or {})]
    shared = {key: metrics[key] for key in ("synthetic", "role", "confidence_level")}
    return [
        shared | record
        for point in [*points, *metrics.get("points", [])]
        for unit in names.UNITS
        for record in _point_records(point, unit)
    ]


def _point_records(point: Mapping[str, Any], unit: str) -> list[dict[str, Any]]:
    """The measures of one operating point and unit, then its predictive values."""
    part, threshold = point[unit], point["threshold"]
    if isinstance(threshold, dict):
        threshold = " ".join(f"{fold}:{cut}" for fold, cut in threshold.items())
    shared = {
        "operating_point": names.point_name(point) if "method" in point else "",
        "unit": unit,
        "threshold": threshold,
        **{key: part[key] for key in CSV_COLUMNS if key.startswith("n")},
    }
    measures = [("", name, measure) for name, measure in part["figures"].items()]
    for prevalence, pair in part.get("prevalences", {}).items():
        measures += [(prevalence, name, measure) for name, measure in pair.items()]
    return [
        shared | {"figure": name, "prevalence": prevalence} | measure
        for prevalence, name, measure in measures
    ]
