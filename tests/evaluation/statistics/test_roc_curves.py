import numpy as np
import pytest
from sklearn.metrics import roc_curve

from usgland.evaluation.statistics.bootstrap import resample_patients
from usgland.evaluation.statistics.roc_curves import BAND_POINTS, roc_band


def test_the_band_is_that_of_curves_drawn_one_by_one():
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(20), 2)
    labels = ids % 2
    probabilities = np.clip(0.3 * labels + rng.uniform(0, 0.7, 40), 0, 1).round(2)
    rates, low, high = roc_band(
        labels, probabilities, ids, resamples=60, level=0.9, seed=4
    )
    curves = []
    for drawn in resample_patients(20, 60, 4):
        cases = np.repeat(np.arange(40), drawn[ids])
        false, true, _ = roc_curve(
            labels[cases], probabilities[cases], drop_intermediate=False
        )
        curves.append(np.interp(rates, false, true))
    expected = np.quantile(curves, [0.05, 0.95], axis=0)
    np.testing.assert_allclose([low, high], expected, atol=1e-9)
    assert len(rates) == BAND_POINTS


def test_one_patient_of_a_class_gives_what_bounds_it_can():
    _, low, high = roc_band(
        [0, 1], [0.2, 0.9], ["a", "b"], resamples=40, level=0.9, seed=0
    )
    assert (high >= low).all() and high.max() == pytest.approx(1)
