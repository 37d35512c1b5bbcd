"""Small classifiers with random weights, for the tests of this room."""

import keras
import numpy as np
from tf_keras_vis.gradcam import Gradcam

from usgland.config import load_config
from usgland.models.classifier import build_classifier

SIZE = 64
ENCODING = [
    {
        "name": "age_years",
        "kind": "number",
        "indicator": True,
        "low": 0,
        "high": 100,
        "mean": 50.0,
        "deviation": 10.0,
    }
]

# A second column of a form, after that of `ENCODING`.
WORDS = {
    "name": "margin",
    "kind": "category",
    "indicator": False,
    "spellings": {"clear": "clear", "well defined": "clear", "unclear": "unclear"},
    "words": ["clear", "unclear"],
    "shares": [0.25, 0.75],
}


# How tf-keras-vis is asked for Grad-CAM without its own scaling.
UNSCALED = {
    "seek_penultimate_conv_layer": False,
    "expand_cam": False,
    "normalize_cam": False,
}


def classifier(
    inputs="image",
    fusion="concat",
    encoding=None,
    *,
    backbone="squeezenet1_1",
    scale=0.02,
):
    """Random weights, also of the last layer, which starts from zeros."""
    config = load_config(
        None,
        [
            f"model.backbone={backbone}",
            f"model.inputs={inputs}",
            f"model.fusion={fusion}",
            "model.weights=null",
            f"preprocessing.image_size={SIZE}",
            f"preprocessing.picture_size={SIZE}",
        ],
    )
    model = build_classifier(config, encoding or ENCODING)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.kernel.assign(rng.normal(scale=scale, size=layer.kernel.shape))
    return model


def gradcam_of_tf_keras_vis(explained, pixels, sign=1.0, visualizer=Gradcam):
    """What the other program says of pixels alone; sign -1 asks for benign."""
    return np.asarray(
        visualizer(explained.alone)(
            lambda output: sign * output[:, 0],
            pixels.astype("float32"),
            penultimate_layer=explained.layer,
            **UNSCALED,
        )
    )
