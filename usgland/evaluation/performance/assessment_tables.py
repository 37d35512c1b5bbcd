"""Calibration, net benefit and subgroups: on the terminal, as Markdown and as CSV."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from usgland.evaluation.performance.subgroups import MEASURES as SHOWN
from usgland.evaluation.shown.names import NAMES, UNITS
from usgland.evaluation.shown.text import SYNTHETIC, format_measure

SHOWN_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # in Markdown
RIGHT = {
    "slope": "Calibration slope (1 is right)",
    "intercept_in_the_large": "Calibration in the large (0 is right)",
}
ERRORS = {
    "ece_equal_count": "ECE, bins of equal counts",
    "ece_equal_width": "ECE, bins of equal width",
}


def print_assessments(metrics: dict[str, Any], console: Console) -> None:
    """Shows calibration in a few lines and every table of subgroups.

    Args:
        metrics: With calibration and subgroups as `assess` adds them.
        console: Where to.
    """
    table = Table(title="Calibration", title_justify="left", title_style="bold")
    for head in ("", *(f"per {unit}" for unit in UNITS)):
        table.add_column(head, justify="right" if head else "left")
    for cells in _calibration_rows(metrics):
        table.add_row(*cells)
    console.print(table)
    for column, part in metrics["subgroups"].items():
        table = Table(title=f"By {column}, per patient", title_justify="left")
        table.add_column("")
        table.add_column("benign +\nmalignant", justify="right")
        for name in SHOWN:
            table.add_column(NAMES[name], justify="right")
        for one in part["patient"]["groups"]:
            counts = f"{one['n_benign']} + {one['n_malignant']}"
            measures = (_short(one["figures"][name]) for name in SHOWN)
            table.add_row(_group_name(one), counts, *measures)
        console.print(table)
        for note in _subgroup_notes(part):
            console.print(note, highlight=False, markup=False, soft_wrap=True)


def calibration_markdown(metrics: dict[str, Any]) -> str:
    """Slope, calibration in the large, errors, and the bins of the curve."""
    found = metrics["calibration"]
    level = f"{100 * metrics['confidence_level']:g}%"
    lines = _opening(metrics, f"Calibration, role {metrics['role']}, {level} intervals")
    lines += _markdown(["", *(f"per {u}" for u in UNITS)], _calibration_rows(metrics))
    for unit in UNITS:
        rows = [
            (
                str(one["n"]),
                f"{one['mean_probability']:.3f}",
                str(one["malignant"]),
                format_measure(one | {"value": one["share"]}),
            )
            for one in found[unit]["curve"]
        ]
        heads = ["n", "mean P(malignant)", "malignant", "share (Wilson interval)"]
        lines += ["", f"Bins of equal counts, per {unit}:", "", *_markdown(heads, rows)]
    lines += [
        "",
        *(
            f"- Interval, {RIGHT[name].partition(' (')[0].lower()} per {unit}: "
            f"{found[unit][name]['method']}."
            for name in RIGHT
            for unit in UNITS
        ),
    ]
    lines.append(
        "- ECE is never below 0; `by chance` is its mean for a perfectly calibrated "
        "model on as many cases. Wilson intervals take cases for independent."
    )
    return "\n".join(lines) + "\n"


def calibration_csv(metrics: dict[str, Any]) -> str:
    """One row a measure and one a bin, in full precision."""
    rows = []
    for unit in UNITS:
        part = metrics["calibration"][unit]
        for name in RIGHT:
            rows.append({"unit": unit, "figure": name, "n": part["n"], **part[name]})
        for name in ERRORS:
            one = part[name]
            method = f"{one['bins']} bins; by chance {one['if_calibrated']}"
            rows.append(
                {
                    "unit": unit,
                    "figure": name,
                    "n": part["n"],
                    "value": one["value"],
                    "method": method,
                }
            )
        for number, one in enumerate(part["curve"], start=1):
            rows.append(
                {
                    "unit": unit,
                    "figure": f"bin {number}",
                    "value": one["share"],
                    "method": "Wilson",
                    **{k: v for k, v in one.items() if k != "share"},
                }
            )
    columns = ("unit", "figure", "value", "low", "high", "n", "malignant")
    return _csv(metrics, rows, (*columns, "mean_probability", "method"))


def decision_curve_markdown(metrics: dict[str, Any]) -> str:
    """Net benefit at some thresholds; the CSV has all of them."""
    level = f"{100 * metrics['confidence_level']:g}%"
    lines = _opening(metrics, f"Net benefit, role {metrics['role']}, {level} bands")
    heads = ["act from", "by the model", "on all", "on none"]
    for curves in metrics["decision_curve"]:
        for unit in UNITS:
            curve = curves[unit]
            given = "given" if curve["given"] else "of these cases"
            title = (
                f"Per {unit}, n = {curve['n']}, prevalence {curve['prevalence']:.3g} "
                f"({given}):"
            )
            rows = []
            for threshold in SHOWN_THRESHOLDS:
                at = curve["threshold"].index(threshold)
                one = {"value": curve["model"][at]}
                one |= {key: curve[key][at] for key in ("low", "high")}
                # Adding 0 turns -0.000 into 0.000.
                everybody = f"{round(curve['treat_all'][at], 3) + 0.0:.3f}"
                rows.append((f"{threshold:g}", format_measure(one), everybody, "0.000"))
            lines += [title, "", *_markdown(heads, rows), ""]
    lines.append(
        "- True positives a case, less false positives weighed by the odds of the "
        "threshold. At a given prevalence sensitivity and specificity stay as they "
        "are and probabilities are not shifted."
    )
    return "\n".join(lines) + "\n"


def decision_curve_csv(metrics: dict[str, Any]) -> str:
    """One row a threshold, in full precision."""
    names = ("threshold", "model", "low", "high", "treat_all", "treat_none")
    rows = []
    for curves in metrics["decision_curve"]:
        for unit in UNITS:
            curve = curves[unit]
            for values in zip(*(curve[name] for name in names), strict=True):
                shared = {key: curve[key] for key in ("n", "prevalence", "given")}
                numbers = dict(zip(names, values, strict=True))
                rows.append({"unit": unit, **shared, **numbers})
    return _csv(metrics, rows, ("unit", "n", "prevalence", "given", *names))


def subgroups_markdown(metrics: dict[str, Any]) -> str:
    """Every column's groups, per patient and per image."""
    level = f"{100 * metrics['confidence_level']:g}%"
    lines = _opening(metrics, f"Subgroups, role {metrics['role']}, {level} intervals")
    for column, part in metrics["subgroups"].items():
        for unit in reversed(UNITS):
            rows = _subgroup_rows(part[unit]["groups"])
            lines += [f"By {column}, per {unit}:", ""]
            lines += [*_markdown(_subgroup_heads(unit), rows), ""]
        lines += [*(f"- {note}" for note in _subgroup_notes(part)), ""]
    return "\n".join(lines).rstrip() + "\n"


def subgroups_csv(metrics: dict[str, Any]) -> str:
    """One row a column, unit, group and measure, in full precision."""
    rows = []
    for column, part in metrics["subgroups"].items():
        for unit in UNITS:
            for group in part[unit]["groups"]:
                shared = {key: group[key] for key in group if key != "figures"}
                for name, one in group["figures"].items():
                    where = {"column": column, "unit": unit, "figure": name}
                    rows.append(where | shared | one)
    counts = ("n", "n_benign", "n_malignant", "n_patients", "small")
    numbers = ("value", "low", "high", "method", "undefined_resamples")
    return _csv(metrics, rows, ("column", "unit", "group", "figure", *numbers, *counts))


def _calibration_rows(metrics: dict[str, Any]) -> list[tuple[str, ...]]:
    found = metrics["calibration"]
    rows = [
        (text, *(format_measure(found[unit][name]) for unit in UNITS))
        for name, text in RIGHT.items()
    ]
    for name, text in ERRORS.items():
        cells = [
            f"{one['value']:.3f} in {one['bins']}, by chance {one['if_calibrated']:.3f}"
            for one in (found[unit][name] for unit in UNITS)
        ]
        rows.append((text, *cells))
    return rows


def _subgroup_heads(unit: str) -> list[str]:
    return ["", f"{unit}s", "benign", "malignant", *(NAMES[name] for name in SHOWN)]


def _group_name(group: dict[str, Any]) -> str:
    return f"{group['group']}{' (!)' if group['small'] else ''}"


def _short(measure: dict[str, Any]) -> str:
    """Value above its bounds, with two digits: several columns fit the terminal."""
    value, low, high = (measure[key] for key in ("value", "low", "high"))
    if value is None or value != value:
        return "undefined"
    if low is None or low != low:
        return f"{value:.2f}\n(no interval)"
    return f"{value:.2f}\n({low:.2f} to {high:.2f})"


def _subgroup_rows(groups: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            _group_name(one),
            *(str(one[key]) for key in ("n", "n_benign", "n_malignant")),
            *(format_measure(measure) for measure in one["figures"].values()),
        )
        for one in groups
    ]


def _subgroup_notes(part: dict[str, Any]) -> list[str]:
    notes = []
    if any(one["small"] for one in part["patient"]["groups"]):
        notes.append(
            f"(!) fewer than {part['small_below']} benign or malignant patients: too "
            "few to judge the group."
        )
    tests = []
    for name, one in part["patient"]["heterogeneity"].items():
        known = one["p_value"] is not None and one["p_value"] == one["p_value"]
        text = f"P = {one['p_value']:.3f}" if known else "no test"
        tests.append(f"{NAMES[name]} {text} ({one['method']})")
    notes.append(
        f"Do the groups differ, per patient, without `missing`: {'; '.join(tests)}. "
        "Not adjusted for several tests."
    )
    return notes


def _opening(metrics: dict[str, Any], title: str) -> list[str]:
    lines = [f"**{SYNTHETIC}**", ""] if metrics["synthetic"] else []
    return [*lines, f"**{title}**", ""]


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    return lines + [
        f"| {' | '.join(one.replace('|', '/') for one in row)} |" for row in rows
    ]


def _csv(
    metrics: dict[str, Any], rows: Sequence[dict[str, Any]], columns: Sequence[str]
) -> str:
    text = io.StringIO()
    shared = {
        "synthetic": str(metrics["synthetic"]).lower(),
        "role": metrics["role"],
        "confidence_level": metrics["confidence_level"],
    }
    writer = csv.DictWriter(
        text, [*shared, *columns], lineterminator="\n", extrasaction="ignore"
    )
    writer.writeheader()
    for row in rows:
        writer.writerow(shared | {key: _cell(one) for key, one in row.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value != value else value
