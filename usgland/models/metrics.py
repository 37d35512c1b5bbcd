"""Keras metrics shown while training: how decisions agree with the labels.

They steer an epoch and fill the training log. The measures of a report, with
patients as the unit and intervals, are made in `usgland.evaluation`.
"""

import math
from numbers import Real

import keras
from keras import ops

# The ROC curve has a point at each step of 0.02 of the logit of P(malignant). The 200
# even steps of Keras misread the AUC of an overconfident network, whose probabilities
# crowd at 0 and 1, by up to 0.03 (60 to 1000 cases drawn); these misread none by more
# than 0.003.
AUC_THRESHOLDS = tuple(1 / (1 + math.exp(-step / 50)) for step in range(-750, 751))


class ConfusionMetric(keras.metrics.Metric):
    """Counts benign and malignant cases by label and by decision.

    A subclass names itself, computes its score from the four counts and takes the same
    arguments.

    Cases count by their `sample_weight`: one weight a case, `(batch,)` or
    `(batch, 1)`, or one for all. Labels must be exactly 0 or 1. A soft label of
    mixup or of smoothing has no place in a table of counts: give the metric the
    hard one. Any other label, and a prediction that is NaN, turn the score into
    NaN until `reset_state`, as would a score that is not defined.

    Args:
        threshold: P(malignant) from which, itself included, a case is called
            malignant, in (0, 1).
        from_logits: Whether `y_pred` is a logit, in which case it is compared with
            the logit of the threshold; otherwise it is P(malignant).
        name: Name in the training log; None for the metric's own.
        dtype: Type of the counts: `"float32"` (the default, exact to 16.7 million
            cases) or `"float64"`, whatever the precision of the network.

    Raises:
        ValueError: If an argument is out of range; in an update, if there is not
            one prediction a label.
    """

    own_name = ""

    def __init__(self, threshold=0.5, from_logits=False, name=None, dtype=None):
        if not (isinstance(threshold, Real) and 0 < float(threshold) < 1):
            raise ValueError(
                f"`threshold` must be in (0, 1). Received: threshold={threshold!r}"
            )
        if not isinstance(from_logits, bool):
            raise ValueError(
                f"`from_logits` must be a bool. Received: from_logits={from_logits!r}"
            )
        # A bfloat16 count would stop at 256, a float16 one at 2048.
        if dtype not in (None, "float32", "float64"):
            raise ValueError(
                f"`dtype` must be 'float32' or 'float64'. Received: dtype={dtype!r}"
            )
        super().__init__(name=name or self.own_name, dtype=dtype or "float32")
        self.threshold = float(threshold)
        self.from_logits = from_logits
        # Rows are labels and columns decisions, as in scikit-learn.
        self.confusion = self.add_variable(
            (2, 2), "zeros", dtype=self.dtype, name="confusion"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        label, prediction = (
            ops.reshape(ops.cast(ops.convert_to_tensor(x), self.dtype), (-1,))
            for x in (y_true, y_pred)
        )
        if None not in (*label.shape, *prediction.shape) and (
            label.shape != prediction.shape
        ):
            raise ValueError(
                "Expected one prediction a label. Received: "
                f"{label.shape[0]} labels and {prediction.shape[0]} predictions"
            )
        cut = self.threshold
        if self.from_logits:
            cut = math.log(self.threshold / (1 - self.threshold))
        malignant = ops.cast(prediction >= cut, self.dtype)
        known = ((label == 0) | (label == 1)) & ~ops.isnan(prediction)
        label = ops.where(known, label, math.nan)
        # On a GPU a matrix product, unlike sums, may round the weights to TF32.
        cells = ops.expand_dims(ops.stack([1 - label, label]), 1) * ops.expand_dims(
            ops.stack([1 - malignant, malignant]), 0
        )
        if sample_weight is not None:
            weight = ops.cast(ops.convert_to_tensor(sample_weight), self.dtype)
            cells = cells * ops.reshape(weight, (-1,))
        self.confusion.assign_add(ops.sum(cells, axis=-1))

    def counts(self):
        """The weights of true benign, false malignant, false benign, true malignant."""
        return ops.unstack(ops.reshape(self.confusion, (4,)), num=4)

    def get_config(self):
        return {
            **super().get_config(),
            "threshold": self.threshold,
            "from_logits": self.from_logits,
        }


@keras.saving.register_keras_serializable(package="usgland")
class Sensitivity(ConfusionMetric):
    """Share of the malignant cases called malignant, in [0, 1].

    `tp / (tp + fn)`; NaN without a malignant case.
    """

    own_name = "sensitivity"

    def result(self):
        _, _, fn, tp = self.counts()
        return tp / (tp + fn)


@keras.saving.register_keras_serializable(package="usgland")
class Specificity(ConfusionMetric):
    """Share of the benign cases called benign, in [0, 1].

    `tn / (tn + fp)`; NaN without a benign case.
    """

    own_name = "specificity"

    def result(self):
        tn, fp, _, _ = self.counts()
        return tn / (tn + fp)


@keras.saving.register_keras_serializable(package="usgland")
class Accuracy(ConfusionMetric):
    """Share of all cases called what they are, in [0, 1].

    NaN without a case. Unlike `keras.metrics.BinaryAccuracy` it takes logits and
    calls a case at the threshold malignant, as everywhere else in the package.
    """

    own_name = "accuracy"

    def result(self):
        tn, fp, fn, tp = self.counts()
        return (tn + tp) / (tn + fp + fn + tp)


@keras.saving.register_keras_serializable(package="usgland")
class F1(ConfusionMetric):
    """Harmonic mean of sensitivity and positive predictive value, in [0, 1].

    `2 tp / (2 tp + fp + fn)`; NaN if no case is malignant or called so.

    Reference:
        van Rijsbergen, Information Retrieval, 1979, chapter 7.
    """

    own_name = "f1"

    def result(self):
        _, fp, fn, tp = self.counts()
        return 2 * tp / (2 * tp + fp + fn)


@keras.saving.register_keras_serializable(package="usgland")
class Jaccard(ConfusionMetric):
    """Overlap of the malignant cases and those called so, in [0, 1].

    `tp / (tp + fp + fn)`; NaN if no case is malignant or called so.

    Reference:
        [Jaccard, 1912](https://doi.org/10.1111/j.1469-8137.1912.tb05611.x)
    """

    own_name = "jaccard"

    def result(self):
        _, fp, fn, tp = self.counts()
        return tp / (tp + fp + fn)


@keras.saving.register_keras_serializable(package="usgland")
class CohenKappa(ConfusionMetric):
    """Cohen's kappa: agreement with the label beyond chance, in [-1, 1].

    `(observed - chance) / (1 - chance)`, written with the counts of two classes;
    NaN where chance is 1: all cases in one class and called so.

    Reference:
        [Cohen, 1960](https://doi.org/10.1177/001316446002000104)
    """

    own_name = "cohen_kappa"

    def result(self):
        tn, fp, fn, tp = self.counts()
        beyond_chance = 2 * (tp * tn - fp * fn)
        return beyond_chance / ((tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))


@keras.saving.register_keras_serializable(package="usgland")
class RocAuc(keras.metrics.AUC):
    """Keras' area under the ROC curve, but NaN, not 0, while a class is missing."""

    def result(self):
        malignant = self.true_positives[0] + self.false_negatives[0]
        benign = self.false_positives[0] + self.true_negatives[0]
        return ops.where(malignant * benign > 0, super().result(), math.nan)


def training_metrics(from_logits: bool) -> list[keras.metrics.Metric]:
    """The metrics of the training log, decisions at a P(malignant) of 0.5."""
    decisions = (Accuracy, Sensitivity, Specificity, F1, CohenKappa, Jaccard)
    return [
        RocAuc(thresholds=list(AUC_THRESHOLDS), from_logits=from_logits, name="auc"),
        *(metric(from_logits=from_logits) for metric in decisions),
    ]
