"""What goes beyond single figures: calibration, net benefit and subgroups of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from usgland.config import EvaluationSettings
from usgland.evaluation.assessment_figures import (
    decision_curve_figure,
    reliability_figure,
    subgroup_figure,
)
from usgland.evaluation.assessment_tables import (
    calibration_csv,
    calibration_markdown,
    decision_curve_csv,
    decision_curve_markdown,
    subgroups_csv,
    subgroups_markdown,
)
from usgland.evaluation.decision_curve import decision_curve
from usgland.evaluation.figures import save_figure
from usgland.evaluation.predictions import patient_predictions
from usgland.evaluation.reliability import assess_calibration
from usgland.evaluation.subgroups import subgroup_figures
from usgland.runs import FIGURES as FIGURES_FOLDER
from usgland.runs import METRICS, TABLES, read_json, write_text


def assess(
    rows: pd.DataFrame,
    thresholds: dict[str, Any],
    settings: EvaluationSettings,
    *,
    prevalences: Sequence[float] = (),
    groups: Mapping[str, pd.Series] | None = None,
) -> dict[str, Any]:
    """Calibration, net benefit and subgroups of predictions; writes nothing.

    Args:
        rows: Predictions of one role, as `read_predictions` gives them.
        thresholds: As `read_thresholds` gives it.
        settings: Resamples, level and seed.
        prevalences: Others, in (0, 1), at which net benefit is given.
        groups: Column -> the group of each row, as `group_names` gives it.

    Returns:
        calibration (unit -> `assess_calibration`), decision_curve (a list, the first
        at the prevalence of the rows: unit -> `decision_curve`) and subgroups
        (column -> `subgroup_figures`).
    """
    units = {"image": rows, "patient": patient_predictions(rows)}
    return {
        "calibration": {
            unit: assess_calibration(cases, settings) for unit, cases in units.items()
        },
        "decision_curve": [
            {
                unit: decision_curve(cases, settings, prevalence)
                for unit, cases in units.items()
            }
            for prevalence in (None, *prevalences)
        ],
        "subgroups": {
            column: subgroup_figures(rows, one, thresholds, settings)
            for column, one in (groups or {}).items()
        },
    }


def write_assessments(metrics: dict[str, Any], run: Path, suffix: str) -> list[Path]:
    """Writes the figures and tables of what `assess` added to `metrics`.

    Those of subgroups and prevalences that only an earlier evaluation was asked for
    are removed: a report would show them beside figures they do not belong to.

    Args:
        metrics: With synthetic, role and confidence_level as well.
        run: The run directory.
        suffix: Ends the names of the files, before their kind.

    Returns:
        The files written.
    """
    figures = {"calibration": reliability_figure(metrics)}
    for curves in metrics["decision_curve"]:
        figures[_curve_stem(curves)] = decision_curve_figure(metrics, curves)
    for column in metrics["subgroups"]:
        figures[_subgroup_stem(column)] = subgroup_figure(metrics, column)
    texts = {
        "calibration.md": calibration_markdown(metrics),
        "calibration.csv": calibration_csv(metrics),
        "decision_curve.md": decision_curve_markdown(metrics),
        "decision_curve.csv": decision_curve_csv(metrics),
    }
    if metrics["subgroups"]:
        texts["subgroups.md"] = subgroups_markdown(metrics)
        texts["subgroups.csv"] = subgroups_csv(metrics)
    _remove_earlier(run, suffix)
    written = []
    for name, figure in figures.items():
        written.append(run / FIGURES_FOLDER / f"{name}{suffix}.png")
        save_figure(figure, written[-1])
    for name, text in texts.items():
        stem, _, kind = name.partition(".")
        written.append(run / TABLES / f"{stem}{suffix}.{kind}")
        write_text(written[-1], text)
    return written


def _remove_earlier(run: Path, suffix: str) -> None:
    """Removes what `write_assessments` writes only if asked to, in metrics.json."""
    path = (run / METRICS).with_stem(f"{Path(METRICS).stem}{suffix}")
    earlier = read_json(path) if path.exists() else {}
    names = [
        f"{FIGURES_FOLDER}/{_subgroup_stem(column)}{suffix}.png"
        for column in earlier.get("subgroups", {})
    ]
    names += [f"{TABLES}/subgroups{suffix}.{kind}" for kind in ("md", "csv")]
    names += [
        f"{FIGURES_FOLDER}/{_curve_stem(curves)}{suffix}.png"
        for curves in earlier.get("decision_curve", [])[1:]
    ]
    for name in names:
        (run / name).unlink(missing_ok=True)


def _subgroup_stem(column: str) -> str:
    return "subgroup_" + "".join(one if one.isalnum() else "_" for one in column)


def _curve_stem(curves: dict[str, Any]) -> str:
    curve = curves["patient"]
    given = f"_prevalence_{curve['prevalence']:g}" if curve["given"] else ""
    return f"decision_curve{given}"
