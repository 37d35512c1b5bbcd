"""How much an image adds to a form, against a second implementation and by design."""

import numpy as np
import pytest
import scipy.optimize

from usgland.training.offset_weight import PENALTIES, fit_offset_weight

FOLDS = 3


def draw(strength, patients=150, seed=0, images=1):
    """A form that tells labels fairly well, and an image of some worth."""
    rng = np.random.default_rng(seed)
    labels = np.arange(patients) % 2
    offsets = rng.normal(0, 1.5, patients) + 3 * (labels - 0.5)
    counts = rng.integers(1, images + 1, patients)
    ids = np.repeat(np.arange(patients), counts)
    logits = 4 + 3 * (rng.normal(0, 1, len(ids)) + strength * labels[ids])
    folds = rng.integers(0, FOLDS, patients)
    return offsets[ids], logits, labels[ids], ids.astype(str), folds[ids]


def naive(offsets, logits, labels, ids, folds):
    """The same in loops over patients, with SciPy's bounded minimizer."""
    patients = sorted(set(ids))
    rows = {patient: np.flatnonzero(ids == patient) for patient in patients}
    mean = np.mean([logits[own].mean() for own in rows.values()])
    spread = np.mean([((logits[own] - mean) ** 2).mean() for own in rows.values()])
    scores = (logits - mean) / np.sqrt(spread)

    def loss(weight, patient):
        p = 1 / (1 + np.exp(-offsets[rows[patient]] - weight * scores[rows[patient]]))
        y = labels[rows[patient]]
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))

    def fit(members, penalty):
        if np.isinf(penalty):
            return 0.0
        return scipy.optimize.minimize_scalar(
            lambda w: np.mean([loss(w, p) for p in members]) + penalty * w**2,
            bounds=(0, 1),
            method="bounded",
            options={"xatol": 1e-7},
        ).x

    fold_of = {patient: folds[own[0]] for patient, own in rows.items()}
    weights = {
        (fold, penalty): fit([p for p in patients if fold_of[p] != fold], penalty)
        for fold in set(folds)
        for penalty in PENALTIES
    }
    losses = np.array(
        [[loss(weights[fold_of[p], q], p) for q in PENALTIES] for p in patients]
    )
    best = losses[:, losses.mean(axis=0).argmin()]
    for number in range(len(PENALTIES))[::-1]:
        excess = losses[:, number] - best
        if excess.mean() <= excess.std(ddof=1) / np.sqrt(len(patients)):
            return fit(patients, PENALTIES[number]), PENALTIES[number], losses.mean(0)
    raise AssertionError


@pytest.mark.parametrize("strength", [0.0, 0.7, 2.0])
def test_the_weight_is_that_of_a_second_implementation(strength):
    columns = draw(strength, patients=60, images=3)
    fit, (weight, penalty, losses) = fit_offset_weight(*columns), naive(*columns)
    assert fit.penalty == penalty
    assert fit.weight == pytest.approx(weight, abs=1e-5)
    np.testing.assert_allclose(fit.losses, losses, atol=1e-6)


def test_noise_has_no_weight_and_what_helps_has_one():
    fits = [fit_offset_weight(*draw(0.0, seed=seed)) for seed in range(30)]
    assert np.mean([fit.weight == 0 for fit in fits]) >= 0.95
    fits = [fit_offset_weight(*draw(1.5, seed=seed)) for seed in range(10)]
    assert min(fit.weight for fit in fits) > 0.3
    assert max(fit.weight for fit in fits) <= 1


def test_an_image_that_speaks_for_the_other_label_has_no_weight():
    assert fit_offset_weight(*draw(-2.0)).weight == 0


def test_a_patient_has_one_voice_and_equal_logits_divide_by_nothing():
    offsets, logits, labels, ids, folds = draw(1.0)
    thrice = [np.repeat(column, 3) for column in (offsets, logits, labels, ids, folds)]
    one, three = fit_offset_weight(*draw(1.0)), fit_offset_weight(*thrice)
    assert three.weight == pytest.approx(one.weight, abs=1e-9)
    fit = fit_offset_weight(offsets, np.full_like(logits, 5.0), labels, ids, folds)
    assert (fit.weight, fit.mean, fit.deviation) == (0, 5, 1)
