"""The settings of learning: how images are changed, how the network is fitted."""

from typing import Literal

import pydantic

from usgland.settings import AutoOrBool, AutoOrCount, Fraction, Seed, Settings, Share


class AugmentationSettings(Settings):
    """Random changes of training images; 0 or false turns one off."""

    horizontal_flip: bool = True
    vertical_flip: bool = False
    rotation_degrees: pydantic.NonNegativeFloat = 10.0
    # Log-uniform magnification in [1 / (1 + zoom), 1 + zoom].
    zoom: pydantic.NonNegativeFloat = 0.45
    # Stretches height against width, likewise.
    aspect: pydantic.NonNegativeFloat = 0.0
    translation: Fraction = 0.1  # of the side
    # Share of the images with a marked lesion that are shown so that size and label
    # have nothing to do with each other, instead of zoom and translation. What holds
    # in other hospitals; where magnification goes with the label, it costs a little.
    equalize_size: Share = 0.35
    brightness: Fraction = 0.1  # of the grey range
    contrast: Fraction = 0.4  # relative
    gamma: pydantic.NonNegativeFloat = 0.0  # exponent in [1 / (1 + gamma), 1 + gamma]
    blur_pixels: pydantic.NonNegativeFloat = 1.5  # largest sigma, of half the images
    noise: Fraction = 0.0  # largest sigma of multiplicative speckle noise
    # What other scanners and settings may look like; to be tried, off by default. All
    # leave the mean of many draws as it is.
    grey_curve: Share = 0.0  # share of a random rising curve in the grey levels
    depth_gain: Fraction = 0.0  # largest relative change of a row's brightness
    sharpen: pydantic.NonNegativeFloat = 0.0  # largest unsharp mask, of half the images
    speckle: Fraction = 0.0  # largest sigma of smoothed speckle, of half the images
    cutout: Fraction = 0.0  # side of one erased square, of the image side
    rand_augment: Fraction = 0.0  # magnitude of keras-cv's RandAugment
    # Alpha of the beta distribution; needs model.lesion_head: false.
    mixup: pydantic.NonNegativeFloat = 0.0


class TrainSettings(Settings):
    """How the network is fitted, and which epoch is kept."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: pydantic.PositiveFloat = 1e-4  # peak of the schedule
    # The same for the form's branch and for what joins it to the image.
    clinical_learning_rate: pydantic.PositiveFloat = 3e-3
    freeze_image: bool = False  # the image branch keeps its starting weights
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: pydantic.NonNegativeInt = 1
    momentum: Fraction = 0.9  # of SGD
    weight_decay: pydantic.NonNegativeFloat = 1e-4
    clip_norm: pydantic.PositiveFloat | None = None  # of the whole gradient
    epochs: pydantic.PositiveInt = 30
    # auto: 16; on a GPU 64 from 5,000 training images on. A run keeps its own.
    batch_size: AutoOrCount = "auto"
    loss: Literal["binary_crossentropy", "focal"] = "binary_crossentropy"
    label_smoothing: Fraction = 0.0
    class_weights: Literal["balanced"] | None = None  # as sample weights
    ema_momentum: Fraction | None = 0.99  # moving average of the weights
    # Epochs in which only the head learns, before `epochs` of all layers.
    frozen_epochs: pydantic.NonNegativeInt = 0
    monitor: Literal["val_loss", "val_auc", "val_cohen_kappa", "val_f1"] = "val_loss"
    keep: Literal["best", "last"] = "best"  # by `monitor`
    early_stopping_epochs: pydantic.PositiveInt | None = None  # without a better one
    # auto: bfloat16 where processor or GPU have it, else float32; a run keeps its own.
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    # Steps compiled by XLA; two runs then differ in their last digits. auto: on a GPU
    # with batches of 64 or more.
    xla: AutoOrBool = "auto"
    # GPUs that share each batch. auto: one, or as many as have 64 images each.
    devices: AutoOrCount = "auto"
    seed: Seed = 0  # of weights, order, dropout and augmentation

    @pydantic.model_validator(mode="after")
    def _has_a_best_epoch_to_wait_for(self) -> "TrainSettings":
        if self.early_stopping_epochs is not None and self.keep == "last":
            raise ValueError("early_stopping_epochs needs keep: best")
        return self
