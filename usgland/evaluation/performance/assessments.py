"""What goes beyond single measures: calibration, net benefit and subgroups of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from usgland.config import EvaluationSettings
from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.performance.decision_curve import decision_curve
from usgland.evaluation.performance.measures import Unit, units_of
from usgland.evaluation.performance.reliability import assess_calibration
from usgland.evaluation.performance.subgroups import subgroup_measures


def assess(
    rows: pd.DataFrame,
    thresholds: Thresholds,
    settings: EvaluationSettings,
    *,
    prevalences: Sequence[float] = (),
    groups: Mapping[str, pd.Series] | None = None,
    units: Mapping[str, Unit] | None = None,
) -> dict[str, Any]:
    """Calibration, net benefit and subgroups of predictions; writes nothing.

    Args:
        rows: Predictions of one role, as `read_predictions` gives them.
        thresholds: Of the operating point.
        settings: Resamples, level and seed.
        prevalences: Others, in (0, 1), at which net benefit is given.
        groups: Column -> the group of each row, as `group_names` gives it.
        units: As in `metrics_of`.

    Returns:
        calibration (unit -> `assess_calibration`), decision_curve (a list, the first
        at the prevalence of the rows: unit -> `decision_curve`) and subgroups
        (column -> `subgroup_measures`).
    """
    units = units or units_of(rows, settings)
    return {
        "calibration": {
            name: assess_calibration(unit, settings) for name, unit in units.items()
        },
        "decision_curve": [
            {
                name: decision_curve(unit, settings, prevalence)
                for name, unit in units.items()
            }
            for prevalence in (None, *prevalences)
        ],
        "subgroups": {
            column: subgroup_measures(rows, parts, thresholds, settings)
            for column, parts in (groups or {}).items()
        },
    }
