import numpy as np
import pytest

from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.performance.assessments import assess
from usgland.evaluation.performance.measures import metrics_of, units_of
from usgland.evaluation.statistics import bootstrap, measured_cases
from usgland.steps.evaluation import evaluate_run

POINTS = Thresholds.of_content(
    {
        "threshold": 0.45,
        "further": [
            {"threshold": 0.2, "method": "sensitivity", "target": 0.95},
            {"threshold": 0.6, "method": "specificity", "target": 0.95},
        ],
    }
)


@pytest.fixture
def draws(monkeypatch):
    """How many patients were drawn, one entry a draw."""
    made = []
    resample = bootstrap.resample_patients

    def counted(patients, resamples, seed):
        made.append(patients)
        return resample(patients, resamples, seed)

    monkeypatch.setattr(bootstrap, "resample_patients", counted)
    return made


@pytest.mark.parametrize("kind", ["percentile", "bca"])
def test_patients_are_drawn_once_a_unit_whatever_is_computed_of_them(
    predictions, settings, draws, kind
):
    rows = predictions[predictions["role"] == "test"]
    settings = settings.model_copy(
        update={"prevalences": (0.05, 0.3), "bootstrap": kind}
    )
    units = units_of(rows, settings)
    metrics = metrics_of(rows, POINTS, settings, synthetic=True, units=units)
    assert len(metrics["points"]) == 2
    assess(rows, POINTS, settings, prevalences=(0.05, 0.3), units=units)
    assert draws == [20, 20]


def test_an_evaluation_draws_patients_once_a_unit(run, draws):
    evaluate_run(run, prevalences=(0.1,))
    # Of net benefit; the band of the ROC plot has its own, of another number.
    assert draws == [20] * 3


def test_further_points_leave_out_what_does_not_depend_on_them(
    predictions, settings, monkeypatch
):
    asked = []
    resampled = measured_cases.bootstrap_measures

    def counted(*arguments, **options):
        asked.append("average_precision" in arguments[-1])
        return resampled(*arguments, **options)

    monkeypatch.setattr(measured_cases, "bootstrap_measures", counted)
    rows = predictions[predictions["role"] == "test"]
    metrics = metrics_of(rows, POINTS, settings, synthetic=True)
    assert sum(asked) == 2  # of the images and of the patients, at the main point
    for point in metrics["points"]:
        assert "average_precision" not in point["patient"]["figures"]
        assert np.isfinite(point["patient"]["figures"]["f1"]["low"])
