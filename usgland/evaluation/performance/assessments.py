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

    `rows` and `units` are as in `metrics_of`, but of no units, as of calls alone, there
    are subgroups only. Net benefit is also given at other
    `prevalences`, in (0, 1); `groups` are column -> the `group_names` of the rows.

    Returns:
        calibration (unit -> `assess_calibration`), decision_curve (a list, the first
        at the prevalence of the rows: unit -> `decision_curve`) and subgroups
        (column -> `subgroup_measures`).
    """
    units = units_of(rows, settings) if units is None else units
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
            if units
        ],
        "subgroups": {
            column: subgroup_measures(rows, parts, thresholds, settings)
            for column, parts in (groups or {}).items()
        },
    }
