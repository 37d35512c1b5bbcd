"""What `model.json` says of the inputs, for programs in any language."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from usgland.models.classifier import ENCODING, HAS_IMAGE, PREPROCESSING, layer_names
from usgland.serving.portable.graph import PIXELS
from usgland.serving.portable.portable_form import accepted_texts


def preprocessing_settings(layer: keras.layers.Layer) -> dict[str, Any]:
    """What `preprocess.py` needs to know of a model's preprocessing."""
    percentiles = layer.grey_percentiles
    return {
        "image_size": layer.size,
        "grey_percentiles": None if percentiles is None else list(percentiles),
        "speckle_filter": layer.speckle_filter,
    }


def describe_inputs(model: keras.Model, *, batch: int | None) -> dict[str, Any]:
    """Every input by its name: type, shape and what it takes.

    Args:
        model: A saved classifier.
        batch: Cases at a time; None: any number.
    """
    inputs: dict[str, Any] = {}
    names = layer_names(model)
    if PREPROCESSING in names:
        size = model.get_layer(PREPROCESSING).size
        missing = {"missing": "all 0"} if HAS_IMAGE in names else {}
        inputs[PIXELS] = {
            "dtype": "uint8",
            "shape": [batch, size, size, 1],
            "takes": "grey levels 0 to 255 as preprocess.py makes them of an image",
            **missing,
        }
    if ENCODING in names:
        for column in model.get_layer(ENCODING).columns:
            inputs[column["name"]] = _describe_column(column, batch)
    return inputs


def _describe_column(column: Mapping[str, Any], batch: int | None) -> dict[str, Any]:
    if column["kind"] == "number":
        return {
            "dtype": "float32",
            "shape": [batch],
            "takes": f"a number from {column['low']:g} to {column['high']:g}",
            "missing": "NaN",
        }
    return {
        "dtype": "string",
        "shape": [batch],
        "takes": list(accepted_texts(column)),
        "missing": "",
    }


def empty_form(inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, NDArray]:
    """A form without any value, of one case, as `describe_inputs` describes it."""
    return {
        name: np.array([np.nan], "float32")
        if one["dtype"] == "float32"
        else np.array([""], object)
        for name, one in inputs.items()
        if name != PIXELS
    }
