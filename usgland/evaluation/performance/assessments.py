"""What goes beyond single measures: calibration, net benefit and subgroups of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from usgland.config import EvaluationSettings
from usgland.evaluation.cases.predictions import patient_predictions
from usgland.evaluation.performance.decision_curve import decision_curve
from usgland.evaluation.performance.reliability import assess_calibration
from usgland.evaluation.performance.subgroups import subgroup_measures


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
        (column -> `subgroup_measures`).
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
            column: subgroup_measures(rows, one, thresholds, settings)
            for column, one in (groups or {}).items()
        },
    }
