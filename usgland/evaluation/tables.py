"""The table of figures: on the terminal, as Markdown and as CSV."""

import csv
import io
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from usgland.evaluation.scores import FIGURES
from usgland.runs import write_text

SYNTHETIC = "SYNTHETIC DATA: phantoms, not patients"
UNITS = ("image", "patient")
NAMES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "f1_macro": "F1, macro",
    "cohen_kappa": "Cohen's kappa",
    "mcc": "MCC",
    "jaccard": "Jaccard",
    "positive_likelihood_ratio": "LR+",
    "negative_likelihood_ratio": "LR-",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "brier": "Brier score",
}
COST_NAMES = {
    "training_seconds": "training took {:,.0f} s",
    "seconds_per_image": "prediction {:.4f} s an image",
    "model_megabytes": "model size {:.2f} MB",
    "parameters": "{:,.0f} parameters",
}
CSV_COLUMNS = (
    "synthetic",
    "role",
    "unit",
    "figure",
    "value",
    "low",
    "high",
    "confidence_level",
    "method",
    "undefined_resamples",
    "n",
    "n_benign",
    "n_malignant",
    "n_patients",
    "threshold",
)


def print_metrics(metrics: dict[str, Any], console: Console) -> None:
    """Shows the figures per image and per patient, readable in 80 columns.

    Args:
        metrics: As `metrics_of` gives it, or as read back from metrics.json.
        console: Where to.
    """
    print_synthetic(metrics["synthetic"], console)
    table = Table(title=_title(metrics), title_justify="left", title_style="bold")
    table.add_column("")
    for unit in UNITS:
        table.add_column(_heading(metrics, unit), justify="right")
    for cells in _rows(metrics):
        table.add_row(*cells)
    console.print(table)
    for line in _notes(metrics):
        console.print(line, highlight=False, markup=False)


def print_synthetic(synthetic: bool, console: Console) -> None:
    """Says in large letters that figures are of phantoms, where they are."""
    if synthetic:
        console.print(
            Panel(
                Text(SYNTHETIC, justify="center"),
                style="bold white on red",
                box=box.HEAVY,
            )
        )


def metrics_markdown(metrics: dict[str, Any]) -> str:
    """The same table as Markdown."""
    lines = [f"**{SYNTHETIC}**", ""] if metrics["synthetic"] else []
    heads = [_heading(metrics, unit).replace("\n", "<br>") for unit in UNITS]
    lines += [f"**{_title(metrics)}**", ""]
    lines += [f"|  | {' | '.join(heads)} |", "|---|---:|---:|"]
    lines += [f"| {' | '.join(cells)} |" for cells in _rows(metrics)]
    lines += ["", *(f"- {line}" for line in _notes(metrics))]
    return "\n".join(lines) + "\n"


def metrics_csv(metrics: dict[str, Any]) -> str:
    """One row a unit and figure, in full precision; empty where undefined."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    threshold = metrics["threshold"]
    if isinstance(threshold, dict):
        threshold = " ".join(f"{fold}:{one}" for fold, one in threshold.items())
    for unit in UNITS:
        part = metrics[unit]
        for name in FIGURES:
            figure = part["figures"][name]
            numbers = {key: _known(figure[key]) for key in ("value", "low", "high")}
            writer.writerow(
                {
                    "synthetic": str(metrics["synthetic"]).lower(),
                    "role": metrics["role"],
                    "unit": unit,
                    "figure": name,
                    **numbers,
                    "confidence_level": metrics["confidence_level"],
                    "method": figure["method"],
                    "undefined_resamples": figure["undefined_resamples"],
                    **{key: part[key] for key in CSV_COLUMNS if key.startswith("n")},
                    "threshold": threshold,
                }
            )
    return text.getvalue()


def write_tables(metrics: dict[str, Any], folder: Path, stem: str) -> list[Path]:
    """Writes `<stem>.md` and `<stem>.csv`, whole or not at all; gives their paths.

    Raises:
        UserError: If the folder cannot be written.
    """
    texts = {".md": metrics_markdown(metrics), ".csv": metrics_csv(metrics)}
    for suffix, text in texts.items():
        write_text(folder / f"{stem}{suffix}", text)
    return [folder / f"{stem}{suffix}" for suffix in texts]


def format_figure(figure: dict[str, Any]) -> str:
    """`0.972 (0.912 to 1.000)`; `undefined`, or `(no interval)`, where there is none.

    Args:
        figure: value, low, high: numbers, or NaN or None where undefined.
    """
    value, low, high = (_known(figure[key]) for key in ("value", "low", "high"))
    if value is None:
        return "undefined"
    if low is None or high is None:
        return f"{value:.3f} (no interval)"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _known(value: float | None) -> float | None:
    """NaN in memory is null in JSON: both say undefined."""
    return None if value is None or value != value else value


def _title(metrics: dict[str, Any]) -> str:
    level = f"{100 * metrics['confidence_level']:g}%"
    return f"Role {metrics['role']}: figures with {level} intervals"


def _heading(metrics: dict[str, Any], unit: str) -> str:
    part = metrics[unit]
    return (
        f"per {unit}, n = {part['n']}\n"
        f"{part['n_benign']} benign, {part['n_malignant']} malignant"
    )


def _rows(metrics: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for name in FIGURES:
        image, patient = (
            format_figure(metrics[unit]["figures"][name]) for unit in UNITS
        )
        rows.append((NAMES[name], image, patient))
    for label, word in enumerate(("Benign", "Malignant")):
        image, patient = (_called(metrics[unit]["confusion"], label) for unit in UNITS)
        rows.append((f"{word}, called right", image, patient))
    for prevalence in metrics["image"].get("prevalences", {}):
        for name in ("ppv", "npv"):
            image, patient = (
                format_figure(metrics[unit]["prevalences"][prevalence][name])
                for unit in UNITS
            )
            percent = f"{100 * float(prevalence):g}%"
            rows.append((f"{NAMES[name]} if {percent} malignant", image, patient))
    for point in metrics.get("points", []):
        for name, short in (("sensitivity", "Sens."), ("specificity", "Spec.")):
            image, patient = (format_figure(point[unit][name]) for unit in UNITS)
            rows.append((f"{short} at {_point(point)}", image, patient))
    return rows


def _point(point: dict[str, Any]) -> str:
    """The name of a further operating point, with its threshold."""
    names = {
        "youden": "Youden",
        "half": "0.5",
        "sensitivity": "high sens.",
        "specificity": "high spec.",
        "cost": "least cost",
    }
    return names[point["method"]]


def _called(counts: list[list[int]], label: int) -> str:
    return f"{counts[label][label]} of {sum(counts[label])}"


def _notes(metrics: dict[str, Any]) -> list[str]:
    """What a reader needs to take the figures for what they are."""
    threshold = metrics["threshold"]
    if isinstance(threshold, dict):
        points = ", ".join(f"{fold}: {one:.4f}" for fold, one in threshold.items())
        notes = [f"Thresholds on P(malignant), by fold: {points}."]
    else:
        notes = [f"Threshold on P(malignant): {threshold:.4f}, for both units."]
    images, patients = metrics["image"], metrics["patient"]
    notes.append(
        f"{images['n']} images of {patients['n_patients']} patients; a patient's "
        "probability is the sigmoid of the mean logit."
    )
    figures = [figure for unit in UNITS for figure in metrics[unit]["figures"].values()]
    methods = {figure["method"] for figure in figures}
    made = sorted(method for method in methods if not method.startswith("none"))
    none = sorted(method for method in methods if method.startswith("none"))
    notes += [f"Intervals: {'; '.join(made)}."] if made else []
    notes += [f"No interval: {'; '.join(one[6:] for one in none)}."] if none else []
    undefined = max(figure["undefined_resamples"] for figure in figures)
    if undefined:
        notes.append(f"Up to {undefined} resamples of a figure undefined, left out.")
    leaks = metrics.get("forced_leaks", [])
    if leaks:
        notes.insert(
            0,
            f"The form has columns that may know the label, forced by "
            f"clinical.allow_leaks: {', '.join(leaks)}. These figures are too good.",
        )
    cost = metrics.get("cost", {})
    known = [text.format(cost[key]) for key, text in COST_NAMES.items() if key in cost]
    notes += (
        [f"Measured on the machine of the run: {', '.join(known)}."] if known else []
    )
    return notes
