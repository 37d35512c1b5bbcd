"""Networks by name, each with the pixel scaling that its weights expect."""

import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import keras
import numpy as np

from usgland.config import ULTRASOUND, BackboneName
from usgland.errors import UserError
from usgland.models.efficientnet import efficientnet_lite0
from usgland.models.squeezenet import squeezenet
from usgland.models.ultrasound_weights import ultrasound_arrays
from usgland.models.weights import (
    application_file,
    efficientnet_lite0_arrays,
    read_arrays,
    squeezenet1_1_arrays,
)

# Widths of MobileNetV2 that it has weights for.
IMAGENET_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)


class Backbone(NamedTuple):
    """A network and how pixels in [0, 255] are scaled for it."""

    # Maps (scaled pixels `(batch, size, size, 3)`, alpha) to a feature map
    # `(batch, height, width, channels)` whose layers join the caller's graph.
    build: Callable[[keras.KerasTensor, float], keras.KerasTensor]
    scale: float
    offset: tuple[float, float, float]  # of the channels, added after the scaling
    # Maps alpha to `{"layer/variable": array}`; None if there are none.
    imagenet: Callable[[float], dict[str, np.ndarray]] | None
    # The last layer whose map is about twice as fine as the last one's, or finer.
    earlier: str


def _application(
    network: Callable, file: str, *, md5: str | None, has_alpha: bool = False
) -> dict:
    """The parts of a `Backbone` that wrap one of `keras.applications`.

    See `application_file` for the file of its ImageNet weights, in which `{alpha}`
    stands for the width.
    """

    def options(alpha: float) -> dict:
        return {"alpha": alpha} if has_alpha else {}

    def build(pixels: keras.KerasTensor, alpha: float) -> keras.KerasTensor:
        return network(
            input_tensor=pixels, weights=None, include_top=False, **options(alpha)
        ).output

    def imagenet(alpha: float) -> dict[str, np.ndarray]:
        if has_alpha and alpha not in IMAGENET_ALPHAS:
            raise UserError(
                "`model.alpha`: with `model.weights=imagenet`, expected one of "
                f"{IMAGENET_ALPHAS}. Received: {alpha}"
            )
        path = application_file(file.format(alpha=float(alpha)), md5)
        try:
            source = network(
                input_shape=(224, 224, 3),
                weights=str(path),
                include_top=False,
                **options(alpha),
            )
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"Expected ImageNet weights in {path}. Received a file that cannot be "
                "read as such; delete it and repeat the command"
            ) from error
        return model_arrays(source)

    return {"build": build, "imagenet": imagenet}


BACKBONES: dict[BackboneName, Backbone] = {
    # BGR order and means of Caffe; equal channels make the order matter only here.
    "squeezenet1_1": Backbone(
        build=lambda pixels, alpha: squeezenet(pixels, version="1.1"),
        scale=1.0,
        offset=(-104.0, -117.0, -123.0),
        imagenet=lambda alpha: squeezenet1_1_arrays(),
        earlier="fire5_concat",
    ),
    "squeezenet1_0": Backbone(
        build=lambda pixels, alpha: squeezenet(pixels, version="1.0"),
        scale=1.0,
        offset=(-104.0, -117.0, -123.0),
        imagenet=None,
        earlier="fire8_concat",
    ),
    "efficientnet_lite0": Backbone(
        build=lambda pixels, alpha: efficientnet_lite0(pixels),
        scale=1 / 128,
        offset=(-127 / 128,) * 3,
        imagenet=lambda alpha: efficientnet_lite0_arrays(),
        earlier="block10_add",
    ),
    "mobilenet_v2": Backbone(
        earlier="block_12_add",
        scale=1 / 127.5,
        offset=(-1.0, -1.0, -1.0),
        **_application(
            keras.applications.MobileNetV2,
            "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_"
            "{alpha}_224_no_top.h5",
            md5=None,
            has_alpha=True,
        ),
    ),
    "vgg16": Backbone(
        earlier="block5_conv3",
        scale=1.0,
        offset=(-103.939, -116.779, -123.68),
        **_application(
            keras.applications.VGG16,
            "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
            md5="6d6bbae143d832006294945121d1f1fc",
        ),
    ),
    "resnet101": Backbone(
        earlier="conv4_block23_out",
        scale=1.0,
        offset=(-103.939, -116.779, -123.68),
        **_application(
            keras.applications.ResNet101,
            "resnet/resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5",
            md5="88cf7a10940856eca736dc7b7e228a21",
        ),
    ),
}


@keras.saving.register_keras_serializable(package="usgland")
class PixelScaling(keras.layers.Layer):
    """Grey `(batch, size, size, 1)` as three channels, `scale * grey + offset` each.

    Args:
        scale: Factor for every pixel.
        offset: Added afterwards, one for each of the three channels.
        name: Name of the layer.
        dtype: Policy of the layer.
    """

    def __init__(self, scale, offset, name=None, trainable=False, dtype=None):
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.scale, self.offset = scale, tuple(offset)

    def call(self, pixels):
        # Not repeated by a concatenation: that takes ten times as long, a tenth of a
        # training step. A product of whole grey levels with 1 is exact also where a
        # GPU rounds its factors to 11 bits, so they are scaled afterwards.
        ones = keras.ops.ones((1, 1, 1, 3), self.compute_dtype)
        offset = keras.ops.cast(self.offset, self.compute_dtype)
        grey = keras.ops.cast(pixels, self.compute_dtype)
        channels = keras.ops.conv(grey, ones)
        # Without a product between them, TensorFlow joins the sum to the convolution.
        return (channels if self.scale == 1 else self.scale * channels) + offset

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


def scale_pixels(pixels: keras.KerasTensor, name: BackboneName) -> keras.KerasTensor:
    """Maps grey `(batch, size, size, 1)` in [0, 255] to three scaled channels."""
    backbone = BACKBONES[name]
    return PixelScaling(backbone.scale, backbone.offset, name="pixel_scaling")(pixels)


def load_weights(
    model: keras.Model, name: BackboneName, weights: str, alpha: float
) -> None:
    """Gives the backbone's layers in `model` the weights asked for.

    These are `"imagenet"`, `"ultrasound"`, a weights file (`.npz` of `layer/variable`
    arrays, `.keras`, or `.weights.h5` of the backbone without its top), or a run
    directory.

    Raises:
        UserError: If the weights are missing, corrupt or of another network.
    """
    if weights == "imagenet":
        imagenet = BACKBONES[name].imagenet
        if imagenet is None:
            raise UserError(
                f"`model.weights`: there are no ImageNet weights of {name}; use "
                "`squeezenet1_1`, a path or null. Received: 'imagenet'"
            )
        arrays, source = imagenet(alpha), f"imagenet weights of {name}"
    elif weights == ULTRASOUND:
        arrays, source = ultrasound_arrays(name), f"ultrasound weights of {name}"
    else:
        arrays, source = _read(Path(weights), name, alpha), weights
    assignments = []
    for layer in map(model.get_layer, backbone_layers(name, alpha)):
        for variable in layer.weights:
            key = f"{layer.name}/{variable.name}"
            array = arrays.get(key)
            if array is None or array.shape != tuple(variable.shape):
                received = "nothing" if array is None else f"shape {array.shape}"
                raise UserError(
                    f"`model.weights`: expected {key} of shape "
                    f"{tuple(variable.shape)} for {name} in {source}. "
                    f"Received: {received}"
                )
            assignments.append((variable, array))
    for variable, array in assignments:
        variable.assign(array)


def model_arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights of every layer as `{"layer/variable": array}`."""
    return {
        f"{layer.name}/{variable.name}": np.asarray(variable)
        for layer in model.layers
        for variable in layer.weights
    }


def backbone_layers(name: BackboneName, alpha: float) -> list[str]:
    """Names of the backbone's layers that have weights."""
    return [layer.name for layer in _network(name, alpha).layers if layer.weights]


def _network(name: BackboneName, alpha: float) -> keras.Model:
    pixels = keras.Input((224, 224, 3))
    return keras.Model(pixels, BACKBONES[name].build(pixels, alpha))


def _read(path: Path, name: BackboneName, alpha: float) -> dict[str, np.ndarray]:
    if path.is_dir():
        path = path / "model.keras"
    if not path.exists():
        raise UserError(
            "`model.weights`: expected 'imagenet', null, a weights file or a run "
            f"directory with model.keras. Received: {path}"
        )
    if path.suffix == ".npz":
        return read_arrays(path)
    try:
        if path.suffix == ".keras":
            return model_arrays(keras.models.load_model(path, compile=False))
        network = _network(name, alpha)
        with warnings.catch_warnings():
            # It warns of every layer of another network, before the error.
            warnings.filterwarnings("ignore", "Skipping nested container")
            network.load_weights(path)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"`model.weights`: expected weights of {name} without its top in {path}. "
            f"Received a file that cannot be read as such: {reason}"
        ) from error
    return model_arrays(network)
