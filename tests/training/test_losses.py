import keras
import numpy as np
import pytest
from scipy.special import expit

from usgland.config import load_config
from usgland.training.losses import DistillationLoss, make_loss, soften
from usgland.training.parts import Part

LABELS = np.array([0, 1, 1, 0, 1])
LOGITS = np.array([-1.5, 0.2, 3.0, 0.7, -40.0])
TAUGHT = np.array([-2.0, 1.0, 0.5, -0.3, 4.0])


def naive(labels, logits, taught, weights):
    """The sum over the cases, by hand, in float64."""
    total = 0.0
    for label, logit, said, weight in zip(labels, logits, taught, weights, strict=True):
        of_label = np.logaddexp(0, -logit) if label else np.logaddexp(0, logit)
        share = 1 / (1 + np.exp(-said / 2))
        soft = logit / 2
        of_teacher = share * np.logaddexp(0, -soft)
        of_teacher += (1 - share) * np.logaddexp(0, soft)
        total += weight * (0.3 * of_label + 0.7 * 4 * of_teacher)
    return total


def test_a_student_is_compared_with_label_and_softened_teacher():
    settings = load_config(None).train
    weights = np.array([1.0, 2.0, 0.5, 0.0, 1.0])
    targets = Part(None, LABELS, teacher=TAUGHT).targets()
    loss = make_loss(settings, taught=True)
    got = float(loss(targets, LOGITS[:, None].astype("float32"), weights))
    assert got == pytest.approx(naive(LABELS, LOGITS, TAUGHT, weights), rel=1e-6)


def test_a_student_who_agrees_with_teacher_and_label_in_doubt_has_no_gradient():
    loss = DistillationLoss(
        keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")
    )
    step = 1e-3
    taught = np.array([[0.5, soften([0.0])[0]]])
    up, down = (float(loss(taught, np.array([[x]]))) for x in (step, -step))
    assert up == pytest.approx(down, rel=1e-6)


def test_softening_halves_a_logit():
    np.testing.assert_allclose(soften(TAUGHT), expit(TAUGHT / 2))


def test_images_without_a_teacher_are_in_doubt_and_others_have_one_column():
    part = Part(None, np.array([1, -1]), teacher=np.array([2.0, np.nan]))
    np.testing.assert_allclose(part.targets(), [[1, expit(1.0)], [-1, 0.5]])
    np.testing.assert_array_equal(Part(None, LABELS).targets(), LABELS[:, None])
