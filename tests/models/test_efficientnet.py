"""EfficientNet-Lite0 held against a second forward pass in plain NumPy."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from usgland.models.backbones import BACKBONES, scale_pixels
from usgland.models.efficientnet import efficientnet_lite0
from usgland.models.weights import EFFICIENTNET, _read_efficientnet

# Classes of ILSVRC that photographs of a dahlia and of a palace may be taken for.
CLASSES = {"flower.jpg": {985}, "china.jpg": {698, 663}}  # daisy; palace, monastery


def convolved(x, kernel, stride):
    """Correlates `(height, width, in)` with `(size, size, in, out)`, as "same" pads."""
    size = kernel.shape[0]
    pads = []
    for side in x.shape[:2]:
        total = max((-(-side // stride) - 1) * stride + size - side, 0)
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, (*pads, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))
    return np.einsum("hwiyx,yxio->hwo", windows[::stride, ::stride], kernel)


def each_alone(kernel):
    """A depthwise kernel `(size, size, channels, 1)` as one of all channels."""
    full = np.zeros((*kernel.shape[:3], kernel.shape[2]))
    channels = np.arange(kernel.shape[2])
    full[:, :, channels, channels] = kernel[..., 0]
    return full


def first_blocks(x, arrays):
    """Stem and the first three blocks, in float64."""

    def layer(x, name, stride=1, *, linear=False):
        kernel = arrays[f"{name}_conv/kernel"].astype("float64")
        if name.endswith("depthwise"):
            kernel = each_alone(kernel)
        gamma, beta, mean, variance = (
            arrays[f"{name}_norm/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        x = (convolved(x, kernel, stride) - mean) / np.sqrt(variance + 1e-3)
        x = gamma * x + beta
        return x if linear else x.clip(0, 6)

    x = layer(x, "stem", 2)
    x = layer(layer(x, "block0_depthwise"), "block0_project", linear=True)
    x = layer(layer(x, "block1_expand"), "block1_depthwise", 2)
    x = layer(x, "block1_project", linear=True)
    inner = layer(layer(x, "block2_expand"), "block2_depthwise")
    return x + layer(inner, "block2_project", linear=True)


@pytest.fixture(scope="module")
def whole():
    """The network with its classifier, of any size."""
    image = keras.Input((None, None, 3))
    return keras.Model(image, efficientnet_lite0(image, classes=1000))


def test_it_has_the_published_number_of_parameters(whole):
    learned = sum(int(np.prod(weight.shape)) for weight in whole.trainable_weights)
    assert learned == 4_652_008  # Published: 4.65 million.
    of_head = sum(int(np.prod(w.shape)) for w in whole.layers[-1].weights)
    assert learned - of_head == 3_371_008


def test_its_graph_is_flat_and_it_ends_where_the_head_does():
    pixels = keras.Input((64, 64, 3))
    model = keras.Model(pixels, BACKBONES["efficientnet_lite0"].build(pixels, 1.0))
    assert model.output.shape == (None, 2, 2, 1280)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    with_weights = [layer for layer in model.layers if layer.weights]
    assert len(with_weights) == 2 * (2 + 3 * 16 - 1)


def test_pixels_are_scaled_as_its_weights_expect():
    grey = np.arange(256, dtype="float32").reshape(1, 16, 16, 1)
    pixels = keras.Input((16, 16, 1))
    model = keras.Model(pixels, scale_pixels(pixels, "efficientnet_lite0"))
    expected = np.repeat((grey - 127) / 128, 3, axis=-1)
    np.testing.assert_allclose(model(grey), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(48, 37, 3), (33, 64, 3)])
def test_the_first_blocks_equal_plain_numpy(whole, shape):
    draws = np.random.default_rng(0)
    model = keras.Model(whole.input, whole.get_layer("block2_add").output)
    arrays = {}
    for layer in model.layers:
        for weight in layer.weights:
            spread = np.prod(weight.shape[:-1]) ** -0.5
            if weight.name in ("gamma", "moving_variance"):
                array = draws.uniform(0.5, 2, weight.shape)
            else:
                array = draws.normal(0, spread, weight.shape)
            arrays[f"{layer.name}/{weight.name}"] = array
            weight.assign(array)
    picture = draws.uniform(-1, 1, shape)
    expected = first_blocks(picture, arrays)
    assert np.ptp(expected) > 1
    received = keras.ops.convert_to_numpy(model(picture[None].astype("float32")))[0]
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=2e-5)


def test_arrays_of_pytorch_fill_every_layer_in_their_layout(whole, monkeypatch):
    from usgland.models import weights

    kernels = {
        "_conv_stem.weight": (32, 3, 3, 3),
        "_conv_head.weight": (1280, 320, 1, 1),
        "_fc.weight": (1000, 1280),
        "_fc.bias": (1000,),
    }
    channels = {"_bn0": 32, "_bn1": 1280}
    for layer in whole.layers:
        if not layer.name.startswith("block") or not layer.weights:
            continue
        block, part, kind = layer.name.split("_")
        theirs = f"_blocks.{block[5:]}."
        if kind == "conv":
            height, width, into, out = layer.weights[0].shape
            shape = (into, 1) if part == "depthwise" else (out, into)
            kernels[f"{theirs}_{part}_conv.weight"] = (*shape, height, width)
        else:
            norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
            channels[theirs + norm] = layer.weights[0].shape[0]
    names = ("weight", "bias", "running_mean", "running_var")
    kernels |= {f"{k}.{name}": (n,) for k, n in channels.items() for name in names}
    drawn = {
        name: np.random.default_rng(len(name)).normal(size=shape).astype("float32")
        for name, shape in kernels.items()
    }
    monkeypatch.setattr(weights, "read_torch_arrays", lambda _: drawn)
    arrays = _read_efficientnet(b"")
    expected = {
        f"{layer.name}/{w.name}": tuple(w.shape)
        for layer in whole.layers
        for w in layer.weights
    }
    assert {name: array.shape for name, array in arrays.items()} == expected
    np.testing.assert_array_equal(
        arrays["block3_depthwise_conv/kernel"][1, 2, 7, 0],
        drawn["_blocks.3._depthwise_conv.weight"][7, 0, 1, 2],
    )
    np.testing.assert_array_equal(
        arrays["stem_conv/kernel"][0, 2, 1, 5], drawn["_conv_stem.weight"][5, 1, 0, 2]
    )


@pytest.mark.network
def test_the_fetched_weights_know_a_flower_and_a_palace(whole, tmp_path):
    import cv2

    from usgland.models.weights import efficientnet_lite0_arrays

    arrays = efficientnet_lite0_arrays(tmp_path)
    assert (tmp_path / "weights" / EFFICIENTNET.converted).exists()
    for layer in whole.layers:
        for weight in layer.weights:
            weight.assign(arrays[f"{layer.name}/{weight.name}"])
    for name, expected in CLASSES.items():
        photograph = load_sample_image(name)
        height, width, _ = photograph.shape
        left = (width - height) // 2
        square = photograph[:, left : left + height]
        small = cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA)
        scores = np.asarray(whole((small[None].astype("float32") - 127) / 128))[0]
        assert int(scores.argmax()) in expected
