import numpy as np
import pytest
from sklearn.metrics import recall_score

from usgland.evaluation.statistics.reclassification import CAVEAT, reclassification


def test_of_calls_it_is_the_change_in_sensitivity_and_specificity():
    rng = np.random.default_rng(0)
    labels, before, after = rng.integers(0, 2, (3, 80))
    result = reclassification(labels, before, after)
    changes = [
        recall_score(labels, after, pos_label=label)
        - recall_score(labels, before, pos_label=label)
        for label in (1, 0)
    ]
    assert (result.malignant, result.benign) == pytest.approx(tuple(changes))
    assert result.nri == pytest.approx(sum(changes))
    assert result.idi == pytest.approx(result.nri)
    # Each label's change is a paired mean: its variance is that of a mean.
    variance = sum(
        np.var((after - before)[labels == label], ddof=1) / (labels == label).sum()
        for label in (0, 1)
    )
    assert result.high - result.nri == pytest.approx(1.959964 * variance**0.5, rel=1e-6)
    assert result.caveat == CAVEAT
    assert "useless marker" in CAVEAT


def test_idi_is_the_difference_of_the_rises_of_the_means():
    labels = np.array([1, 1, 1, 0, 0, 0])
    before = np.array([0.5, 0.4, 0.7, 0.3, 0.5, 0.2])
    after = np.array([0.7, 0.5, 0.6, 0.2, 0.6, 0.2])
    result = reclassification(labels, before, after)
    assert result.idi == pytest.approx(0.2 / 3 - 0.0)
    # Two of three malignant cases rise, one falls; of benign ones one does either.
    assert result.nri == pytest.approx(1 / 3)


def test_no_change_has_no_sign():
    result = reclassification([1, 0, 0], [1, 0, 1], [1, 0, 1])
    for value in (result.nri, result.malignant, result.benign, result.idi):
        assert str(value) == "0.0"


def test_one_label_is_refused():
    with pytest.raises(ValueError, match="must hold 0 and 1, both"):
        reclassification([1, 1], [0, 1], [1, 1])
