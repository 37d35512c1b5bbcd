"""What stands below the table of measures: how they were made, and what lacks."""

from collections.abc import Sequence
from typing import Any

from usgland.evaluation.shown.names import (
    HEADLINE,
    NAMES,
    POINT_MEASURES,
    UNITS,
    point_name,
)
from usgland.evaluation.shown.text import known_number

COST_NAMES = {
    "training_seconds": "training took {:,.0f} s",
    "seconds_per_image": "prediction {:.4f} s an image",
    "model_megabytes": "model size {:.2f} MB",
    "parameters": "{:,.0f} parameters",
}
FEW = 10  # patients of a label: an interval of fewer is wide
# Names of measures, each with what `metrics.json` says of it.
Measures = Sequence[tuple[str, dict[str, Any]]]


def metrics_notes(metrics: dict[str, Any], units: Sequence[str] = UNITS) -> list[str]:
    """What a reader needs to take the measures for what they are, one line each."""
    images, patients = metrics["image"], metrics["patient"]
    cases = f"{images['n']} images of {patients['n_patients']} patients; a patient's "
    cases += "probability is the sigmoid of the mean logit."
    if len(units) == 1:
        cases = f"{patients['n_patients']} patients, one row each."
    notes = [
        *_leaks(metrics),
        _threshold(metrics, units),
        cases,
        *_interval_methods(metrics, units),
    ]
    for unit in units:
        measures = list(metrics[unit]["figures"].items())
        notes += _lacking(measures, f"per {unit}") + _left_out(measures, f"per {unit}")
        notes += _at_prevalences(metrics[unit].get("prevalences", {}), unit)
    points = metrics.get("points", [])
    if points:
        notes.append(
            f"Each point was placed on {metrics.get('chosen_on', 'validation')}; here "
            "it reaches what the table shows."
        )
    # Many points share few reasons: said once.
    shown = [
        (name, point[unit]["figures"][name])
        for name in POINT_MEASURES
        for point in points
        for unit in units
    ]
    notes += _lacking(shown, "at one of these points or more")
    missing = metrics.get("points_missing", [])
    if missing:
        notes.append(
            f"Operating points that were not chosen on "
            f"{metrics.get('chosen_on', 'validation')}, and so are not shown: "
            f"{', '.join(missing)}."
        )
    cost = metrics.get("cost", {})
    known = [text.format(cost[key]) for key, text in COST_NAMES.items() if key in cost]
    if known:
        notes.append(f"Measured on the machine of the run: {', '.join(known)}.")
    return notes


def headline_warnings(metrics: dict[str, Any]) -> list[str]:
    """What must be known before the few measures of a headline are believed."""
    part = metrics["patient"]
    warnings = _leaks(metrics)
    if min(part["n_benign"], part["n_malignant"]) < FEW:
        warnings.append(
            f"Only {part['n_benign']} benign and {part['n_malignant']} malignant "
            "patients: the intervals say how little that tells."
        )
    values = {NAMES[name]: part["figures"][name]["value"] for name in HEADLINE}
    undefined = [name for name in values if known_number(values[name]) is None]
    if undefined:
        warnings.append(f"Undefined per patient: {', '.join(undefined)}.")
    return warnings


def _leaks(metrics: dict[str, Any]) -> list[str]:
    leaks = metrics.get("forced_leaks", [])
    if not leaks:
        return []
    return [
        "The form has columns that may know the label, forced by "
        f"clinical.allow_leaks: {', '.join(leaks)}. These figures are too good."
    ]


def _threshold(metrics: dict[str, Any], units: Sequence[str]) -> str:
    threshold, chosen = metrics["threshold"], metrics.get("operating_point")
    where = metrics.get("chosen_on", "validation")
    how = f" ({point_name(chosen)}, on {where})" if chosen else ""
    if isinstance(threshold, dict):
        points = ", ".join(f"{fold}: {cut:.4f}" for fold, cut in threshold.items())
        return f"Thresholds on P(malignant), by fold{how}: {points}."
    both = ", for both units" if len(units) > 1 else ""
    return f"Threshold on P(malignant): {threshold:.4f}{how}{both}."


def _interval_methods(metrics: dict[str, Any], units: Sequence[str]) -> list[str]:
    """One line a unit, or one for both where they agree."""
    by_unit = {f" per {unit}": _methods(metrics[unit]["figures"]) for unit in units}
    if len(set(by_unit.values())) == 1:
        whose = ", both units" if len(units) > 1 else ""
        by_unit = {whose: by_unit.popitem()[1]}
    return [f"Intervals{whose}: {how}." for whose, how in by_unit.items() if how]


def _methods(measures: dict[str, dict[str, Any]]) -> str:
    """Each method with its measures; the one of most measures last, for all others."""
    names: dict[str, list[str]] = {}
    for name, measure in measures.items():
        if not measure["reason"]:
            names.setdefault(measure["method"], []).append(NAMES[name])
    if len(names) < 2:
        return "".join(names)
    most = max(names, key=lambda method: len(names[method]))
    parts = [f"{k} for {', '.join(v)}" for k, v in names.items() if k != most]
    return "; ".join([*parts, f"{most} for all others"])


def _at_prevalences(
    prevalences: dict[str, dict[str, dict[str, Any]]], unit: str
) -> list[str]:
    """How predictive values at given prevalences got their intervals, or why not."""
    measures = [named for pair in prevalences.values() for named in pair.items()]
    where = f"at a given prevalence per {unit}"
    made = dict.fromkeys(m["method"] for _, m in measures if not m["reason"])
    notes = [f"Intervals {where}: {'; '.join(made)}."] if made else []
    return notes + _lacking(measures, where) + _left_out(measures, where)


def _lacking(measures: Measures, where: str) -> list[str]:
    """Which measures, or intervals, are not defined, and why."""
    notes = []
    for word, is_undefined in (("Undefined", True), ("No interval", False)):
        reasons: dict[str, dict[str, None]] = {}  # the inner: names, once each
        for name, measure in measures:
            undefined = known_number(measure["value"]) is None
            if measure["reason"] and undefined == is_undefined:
                reasons.setdefault(measure["reason"], {})[NAMES[name]] = None
        if reasons:
            parts = [f"{', '.join(names)}: {why}" for why, names in reasons.items()]
            notes.append(f"{word} {where}: {'; '.join(parts)}.")
    return notes


def _left_out(measures: Measures, where: str) -> list[str]:
    """In how many resamples a measure was not defined, where it has an interval."""
    parts = [
        f"{NAMES[name]} {measure['undefined_resamples']}"
        for name, measure in measures
        if measure["undefined_resamples"] and not measure["reason"]
    ]
    if not parts:
        return []
    return [f"Resamples left out as undefined {where}: {', '.join(parts)}."]
