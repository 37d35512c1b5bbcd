"""The learned part of an exported model: from what it is fed to what it answers."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from usgland.explanation.contributions import contributions_graph
from usgland.explanation.heatmap_graph import gradcam_of, heatmap_png
from usgland.models import classifier
from usgland.models.answers import Answer, Looking, box_in_image
from usgland.models.classifier import ENCODING, LOGIT, PREPROCESSING, PROBABILITY

LABEL = "label"
VERSION = "model_version"
HEATMAP = "heatmap_bytes"
LESION_BOX = "lesion_box"
LESION_FOUND = "lesion_found"
LESION_MAP = "lesion_map_bytes"
CONTRIBUTION = "contribution_"  # and the column
LABELS = ("benign", "malignant")
# Bytes of weights up to which a network has them as constants. These are stored once;
# once loaded, each signature that is used keeps its own copy in memory.
MOST_CONSTANT = 20_000_000


class Decision(NamedTuple):
    """From the network's logit to an answer: `slope * logit + intercept` is served."""

    slope: float
    intercept: float
    threshold: float  # P(malignant) from which, included, the label is malignant


class Case(NamedTuple):
    """What the network is fed of a batch; None where it does not take that side."""

    pixels: tf.Tensor | None  # uint8 (batch, size, size, 1)
    sides: tf.Tensor | None  # height, width of the originals, int32 (batch, 2)
    image_given: tf.Tensor | None  # 1 or 0, float32 (batch, 1)
    features: tf.Tensor | None  # of the form, (batch, features)
    form_given: tf.Tensor | None  # 1 or 0, float32 (batch, 1)


class Network:
    """A run's network with its calibration, operating point and `model_version`.

    `variables` are those of its weights that are no constants.
    """

    def __init__(self, model: keras.Model, decision: Decision, version: str):
        names = classifier.layer_names(model)
        self.decision, self.version = decision, version
        self.head = classifier.pooled_to_logit(model)
        self.variables = list(self.head.variables)
        self.has_image, self.has_form = PREPROCESSING in names, ENCODING in names
        if self.has_image:
            self.size = model.get_layer(PREPROCESSING).size
            to_map = classifier.view_to_feature_map(model)
            constant = constant_network(to_map)
            if constant is None:
                self.variables += to_map.variables
            see = constant or functools.partial(to_map, training=False)
            self.looking = Looking(model, see)
            # One function, which all signatures call: to trace it takes seconds.
            self._look = tf.function(self.looking.answer)
        if self.has_form:
            encoding = model.get_layer(ENCODING)
            self.columns = list(dict.fromkeys(encoding.feature_columns()))
            self.shapley = contributions_graph(model)

    def answer(self, case: Case) -> dict[str, tf.Tensor]:
        """Probability, logit, label and version, `(batch,)` each; and the lesion."""
        if not self.has_image:
            return self._answer(self.head(case.features, training=False)[:, 0])
        answered = self._look(case.pixels, self._others(case))
        return self._answer(answered.logit[:, 0]) | _lesion(answered, case)

    def explain(self, case: Case) -> dict[str, tf.Tensor]:
        """The same, and what speaks for malignant in the image and on the form.

        That is of the whole picture, whatever was looked at again.
        """
        outputs, pooled = {}, None
        if self.has_image:
            others = self._others(case)
            seen = self.looking.see_whole(case.pixels)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(seen[0])
                logit = self.looking.say(seen, others)
            maps = gradcam_of(seen[0], tape.gradient(logit, seen[0]))
            outputs[HEATMAP] = heatmap_png(maps, case.sides, self.size)
            pooled = self.looking.pooled(seen)
            answered = self.looking.answer(case.pixels, others, seen=seen)
            outputs |= self._answer(answered.logit[:, 0]) | _lesion(answered, case)
            if answered.drawn is not None:
                outputs[LESION_MAP] = heatmap_png(
                    answered.drawn[..., 0], case.sides, self.size, scaled=False
                )
        else:
            outputs |= self.answer(case)
        if self.has_form:
            added = self.shapley(pooled, case.features, case.image_given)
            added = tf.cast(self.decision.slope * added, tf.float32)
            outputs |= {
                f"{CONTRIBUTION}{name}": added[:, number]
                for number, name in enumerate(self.columns)
            }
        return outputs

    def _others(self, case: Case) -> tuple[tf.Tensor, ...]:
        if not self.has_form:
            return ()
        return case.features, case.image_given, case.form_given

    def _answer(self, logit: tf.Tensor) -> dict[str, tf.Tensor]:
        # In float64, as `usgland predict` computes it: there the label is decided.
        logit = self.decision.slope * tf.cast(logit, tf.float64)
        logit += self.decision.intercept
        probability = tf.sigmoid(logit)
        malignant = probability >= self.decision.threshold
        return {
            PROBABILITY: tf.cast(probability, tf.float32),
            LOGIT: tf.cast(logit, tf.float32),
            LABEL: tf.gather(tf.constant(LABELS), tf.cast(malignant, tf.int32)),
            VERSION: tf.fill(tf.shape(logit), self.version),
        }


def _lesion(answered: Answer, case: Case) -> dict[str, tf.Tensor]:
    """Where the lesion was found, pixels of the original, and how sure that is."""
    if answered.box is None:
        return {}
    height, width = tf.unstack(tf.cast(case.sides, tf.float32), axis=1)
    box = box_in_image(answered.box, width, height)
    return {LESION_BOX: box, LESION_FOUND: answered.found}


def constant_network(network: keras.Model) -> Callable[[tf.Tensor], Any] | None:
    """A small network as one function, which all signatures call, of constant weights.

    TensorFlow brings constants into the order that the processor's convolutions want
    once, and variables in every call. None if the weights exceed `MOST_CONSTANT`.
    """
    parts = network.trainable_variables, network.non_trainable_variables
    arrays = [[np.asarray(variable) for variable in part] for part in parts]
    if sum(array.nbytes for part in arrays for array in part) > MOST_CONSTANT:
        return None

    def call(pixels: tf.Tensor) -> Any:
        weights = [[tf.constant(array) for array in part] for part in arrays]
        return network.stateless_call(*weights, pixels, training=False)[0]

    spec = tf.TensorSpec(network.input.shape, tf.float32)
    return tf.function(call, input_signature=[spec])
