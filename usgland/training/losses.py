"""What training makes smaller: the loss of the labels, and of what others teach."""

import keras
import numpy as np
from keras import ops
from scipy.special import expit

from usgland.recipe import TrainSettings

# The temperature that softens both sides, and the share of the teacher in the loss.
TEMPERATURE = 2.0
TEACHER_SHARE = 0.7


def make_loss(settings: TrainSettings, *, taught: bool = False) -> keras.losses.Loss:
    """The sum of the losses of the cases of a batch.

    It takes labels `(batch, 1)` and logits, or, if `taught`, labels `(batch, 2)`; see
    `DistillationLoss`.
    """
    options = {"from_logits": True, "label_smoothing": settings.label_smoothing}
    of_labels: keras.losses.Loss = keras.losses.BinaryCrossentropy(
        reduction="sum", **options
    )
    if settings.loss == "focal":
        of_labels = keras.losses.BinaryFocalCrossentropy(
            apply_class_balancing=False, reduction="sum", **options
        )
    return DistillationLoss(of_labels) if taught else of_labels


def soften(logits: np.ndarray) -> np.ndarray:
    """What a teacher's logits say at `TEMPERATURE`: probabilities."""
    return expit(np.asarray(logits, "float64") / TEMPERATURE)


class DistillationLoss(keras.losses.Loss):
    """The loss of the label beside that of what others say, softened.

    `(1 - s) * loss(label, z) + s * T^2 * H(q, sigmoid(z / T))`, with the logit z, the
    binary cross-entropy H, s of `TEACHER_SHARE` and T of `TEMPERATURE`. The square
    makes up for gradients that softening divides by it, so that the shares are shares
    of both.

    Args:
        of_labels: What the label is compared by; sums over a batch.

    Call arguments:
        y_true: The label and q, the softened probability of the teacher, `(batch, 2)`.
        y_pred: z, `(batch, 1)`.

    Reference:
        [Hinton et al., 2015](https://arxiv.org/abs/1503.02531), section 2.
    """

    def __init__(self, of_labels: keras.losses.Loss):
        super().__init__(name="distillation", reduction="sum")
        self.of_labels = of_labels

    def call(self, y_true, y_pred):
        y_pred = ops.cast(y_pred, "float32")
        label, taught = ops.split(ops.cast(y_true, "float32"), 2, axis=-1)
        of_label = self.of_labels.call(label, y_pred)
        of_teacher = ops.mean(
            ops.binary_crossentropy(taught, y_pred / TEMPERATURE, from_logits=True),
            axis=-1,
        )
        of_teacher = TEMPERATURE**2 * of_teacher
        return (1 - TEACHER_SHARE) * of_label + TEACHER_SHARE * of_teacher
