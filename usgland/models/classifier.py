"""The whole model: bytes of an image file in, P(malignant) out."""

import keras

from usgland.config import Config
from usgland.models.backbones import BACKBONES, load_weights, scale_pixels
from usgland.models.preprocessing import Preprocessing

# Layers that other parts of the package look for by name.
INPUT, PREPROCESSING, LOGIT, PROBABILITY = (
    "image_bytes",
    "preprocessing",
    "logit",
    "probability",
)


def build_classifier(config: Config) -> keras.Model:
    """Builds the network of the settings, with its starting weights.

    One flat graph: preprocessing, pixel scaling, backbone, mean of the feature map
    over the image, dropout, one logit, sigmoid. There is no ReLU before the sigmoid
    (the original SqueezeNet has one before its softmax): it would clip every
    negative logit to 0 and so keep P(malignant) from falling below one half.

    Args:
        config: Gives `preprocessing`, `model` and the seed of the new weights.

    Returns:
        Maps `image_bytes`, strings `(batch,)`, to `probability`, P(malignant) in
        [0, 1], `(batch, 1)` float32.

    Raises:
        UserError: If the starting weights are missing or of another network.
    """
    settings = config.model
    keras.utils.set_random_seed(config.train.seed)
    image_bytes = keras.Input((), dtype="string", name=INPUT)
    pixels = Preprocessing(
        config.preprocessing.image_size,
        config.preprocessing.grey_percentiles,
        config.preprocessing.speckle_filter,
        name=PREPROCESSING,
    )(image_bytes)
    x = scale_pixels(pixels, settings.backbone)
    x = BACKBONES[settings.backbone].build(x, settings.alpha)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    x = keras.layers.Dropout(settings.dropout, seed=config.train.seed, name="dropout")(
        x
    )
    # From zero: every case starts at one half, and the first step moves this layer
    # alone. Drawn weights on features of this size would start far off.
    logit = keras.layers.Dense(
        1, kernel_initializer="zeros", dtype="float32", name=LOGIT
    )(x)
    probability = keras.layers.Activation("sigmoid", dtype="float32", name=PROBABILITY)(
        logit
    )
    model = keras.Model(image_bytes, probability, name="usgland")
    if settings.weights is not None:
        load_weights(model, settings.backbone, settings.weights, settings.alpha)
    return model


def pixels_to_logit(model: keras.Model) -> keras.Model:
    """The learned part of a classifier, which shares its layers and weights.

    `layer.output` of a shared layer is still its place in `model`. What looks layers
    up that way, as tf-keras-vis does, needs a `keras.models.clone_model` of this, and
    `set_weights`.

    Returns:
        Maps preprocessed pixels `(batch, size, size, 1)` in [0, 255], uint8 or float,
        to the logit of P(malignant), `(batch, 1)` float32.
    """
    part = keras.Model(
        model.get_layer(PREPROCESSING).output,
        model.get_layer(LOGIT).output,
        name="pixels_to_logit",
    )
    # That would cut augmented pixels to the uint8 which preprocessing gives.
    pixels = keras.Input(part.input.shape[1:], dtype="float32", name="pixels")
    return keras.models.clone_model(
        part, input_tensors=pixels, clone_function=lambda layer: layer
    )
