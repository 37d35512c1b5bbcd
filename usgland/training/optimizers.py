"""Optimizers and the learning rates of their steps."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from usgland.config import Config
from usgland.models.fusion import IMAGE_SIDE
from usgland.models.lesion_head import HEAD
from usgland.recipe import TrainSettings


def make_optimizer(
    config: Config, steps: int, image_layers: Sequence[str], *, frozen: bool
) -> keras.optimizers.Optimizer:
    """The optimizer of the settings; with a form, one rate for each of two groups.

    The image side, whose branch starts from weights that know something, learns at
    `train.learning_rate`; the form's branch and what joins the two start from random
    and learn at `train.clinical_learning_rate`. `train.clip_norm` holds for each.

    Args:
        config: Gives `train` and `model.inputs`.
        steps: Steps an epoch.
        image_layers: Layers with weights that belong to the image branch.
        frozen: Whether these are the epochs before the image branch learns.
    """
    settings = config.train
    if config.model.inputs == "image":
        return _optimizer(settings, settings.learning_rate, steps, frozen=frozen)
    form = _optimizer(settings, settings.clinical_learning_rate, steps, frozen=frozen)
    if config.model.inputs == "clinical":
        return form
    image = _optimizer(settings, settings.learning_rate, steps, frozen=frozen)

    def choose(variable: keras.Variable) -> keras.optimizers.Optimizer:
        layer = variable.path.split("/")[0]
        return image if layer in (*image_layers, *HEAD, *IMAGE_SIDE) else form

    return keras.optimizers.MultiOptimizer(choose)


def _optimizer(
    settings: TrainSettings, peak: float, steps: int, *, frozen: bool
) -> keras.optimizers.Optimizer:
    # Of the sum of the gradients of all devices each is handed its part; `make_step`.
    parts = tf.distribute.get_strategy().num_replicas_in_sync
    options: dict[str, Any] = {
        "learning_rate": _learning_rate(settings, peak, steps, frozen=frozen),
        "weight_decay": settings.weight_decay,  # AdamW takes no None
        "global_clipnorm": settings.clip_norm and settings.clip_norm / parts,
    }
    if settings.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(momentum=settings.momentum, **options)
    else:
        optimizer = keras.optimizers.AdamW(**options)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _learning_rate(
    settings: TrainSettings, peak: float, steps: int, *, frozen: bool
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """A constant for the head, else warm-up and the schedule of the settings."""
    warmup = min(settings.warmup_epochs, settings.epochs - 1) * steps
    if frozen or (settings.schedule == "constant" and not warmup):
        return peak
    if settings.schedule == "constant":
        return keras.optimizers.schedules.PiecewiseConstantDecay(
            [warmup], [peak / 10, peak]
        )
    return keras.optimizers.schedules.CosineDecay(
        peak / 10 if warmup else peak,
        settings.epochs * steps - warmup,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )
