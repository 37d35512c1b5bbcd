"""The table of measures: on the terminal, as Markdown and as CSV."""

import csv
import io
from typing import Any

from rich.console import Console
from rich.table import Table

from usgland.evaluation.performance.table_notes import metrics_notes
from usgland.evaluation.shown.names import (
    NAMES,
    POINT_MEASURES,
    UNITS,
    point_name,
)
from usgland.evaluation.shown.text import (
    SYNTHETIC,
    format_measure,
    known_number,
    print_synthetic,
)
from usgland.evaluation.statistics.scores import MEASURES

CSV_COLUMNS = (
    "synthetic",
    "role",
    "operating_point",
    "unit",
    "figure",
    "prevalence",
    "value",
    "low",
    "high",
    "confidence_level",
    "method",
    "reason",
    "undefined_resamples",
    "n",
    "n_benign",
    "n_malignant",
    "n_patients",
    "threshold",
)


def print_metrics(metrics: dict[str, Any], console: Console) -> None:
    """Shows the measures per image and per patient, readable in 80 columns.

    Args:
        metrics: As `metrics_of` gives it, or as read back from metrics.json.
        console: Where to.
    """
    print_synthetic(metrics["synthetic"], console)
    table = Table(title=_title(metrics), title_justify="left", title_style="bold")
    table.add_column("")
    for unit in UNITS:
        table.add_column(_heading(metrics, unit), justify="right")
    for section in _sections(metrics):
        for cells in section:
            table.add_row(*cells)
        table.add_section()
    console.print(table)
    for line in metrics_notes(metrics):
        console.print(line, highlight=False, markup=False)


def metrics_markdown(metrics: dict[str, Any]) -> str:
    """The same table as Markdown."""
    lines = [f"**{SYNTHETIC}**", ""] if metrics["synthetic"] else []
    heads = [_heading(metrics, unit).replace("\n", "<br>") for unit in UNITS]
    lines += [f"**{_title(metrics)}**", ""]
    lines += [f"|  | {' | '.join(heads)} |", "|---|---:|---:|"]
    rows = [cells for section in _sections(metrics) for cells in section]
    lines += [f"| {' | '.join(cells)} |" for cells in rows]
    lines += ["", *(f"- {line}" for line in metrics_notes(metrics))]
    return "\n".join(lines) + "\n"


def metrics_csv(metrics: dict[str, Any]) -> str:
    """One row a point, unit and measure, in full precision; empty where undefined."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    chosen = {"threshold": metrics["threshold"], **{u: metrics[u] for u in UNITS}}
    points = [chosen | (metrics.get("operating_point") or {})]
    for point in [*points, *metrics.get("points", [])]:
        for unit in UNITS:
            writer.writerows(
                {
                    "synthetic": str(metrics["synthetic"]).lower(),
                    "role": metrics["role"],
                    "confidence_level": metrics["confidence_level"],
                    **row,
                }
                for row in _csv_rows(point, unit)
            )
    return text.getvalue()


def _title(metrics: dict[str, Any]) -> str:
    level = f"{100 * metrics['confidence_level']:g}%"
    return f"Role {metrics['role']}: measures with {level} intervals"


def _heading(metrics: dict[str, Any], unit: str) -> str:
    part = metrics[unit]
    return (
        f"per {unit}, n = {part['n']}\n"
        f"{part['n_benign']} benign, {part['n_malignant']} malignant"
    )


def _sections(metrics: dict[str, Any]) -> list[list[tuple[str, str, str]]]:
    """Rows of the table, in parts: measures, predictive values, further points."""
    both = [metrics[unit] for unit in UNITS]
    first = [_row(both, name) for name in MEASURES]
    for label, word in enumerate(("Benign", "Malignant")):
        image, patient = (_called(part["confusion"], label) for part in both)
        first.append((f"{word}, called right", image, patient))
    return [first, _prevalence_rows(both)] + [
        _point_rows(point) for point in metrics.get("points", [])
    ]


def _row(parts: list[dict[str, Any]], name: str) -> tuple[str, str, str]:
    image, patient = (format_measure(part["figures"][name]) for part in parts)
    return NAMES[name], image, patient


def _prevalence_rows(parts: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    rows = []
    for prevalence in parts[0].get("prevalences", {}):
        for name in ("ppv", "npv"):
            image, patient = (
                format_measure(part["prevalences"][prevalence][name]) for part in parts
            )
            percent = f"{100 * float(prevalence):g}%"
            rows.append((f"{NAMES[name]} if {percent} malignant", image, patient))
    return rows


def _point_rows(point: dict[str, Any]) -> list[tuple[str, str, str]]:
    """A line that names the point and its threshold, and its measures."""
    threshold = "one threshold a fold"
    if not isinstance(point["threshold"], dict):
        threshold = f"threshold {point['threshold']:.4f}"
    parts = [point[unit] for unit in UNITS]
    return [(f"At {point_name(point)}:", threshold, threshold)] + [
        _row(parts, name) for name in POINT_MEASURES
    ]


def _csv_rows(point: dict[str, Any], unit: str) -> list[dict[str, Any]]:
    """The measures of one operating point and unit, then its predictive values."""
    part, threshold = point[unit], point["threshold"]
    if isinstance(threshold, dict):
        threshold = " ".join(f"{fold}:{one}" for fold, one in threshold.items())
    measures = [("", name, measure) for name, measure in part["figures"].items()]
    for prevalence, pair in part.get("prevalences", {}).items():
        measures += [(prevalence, name, measure) for name, measure in pair.items()]
    return [
        {
            "operating_point": point_name(point) if "method" in point else "",
            "unit": unit,
            "figure": name,
            "prevalence": prevalence,
            **{key: known_number(measure[key]) for key in ("value", "low", "high")},
            **{
                key: measure[key] for key in ("method", "reason", "undefined_resamples")
            },
            **{key: part[key] for key in CSV_COLUMNS if key.startswith("n")},
            "threshold": threshold,
        }
        for prevalence, name, measure in measures
    ]


def _called(counts: list[list[int]], label: int) -> str:
    return f"{counts[label][label]} of {sum(counts[label])}"
