"""SqueezeNet held against a second forward pass, written in plain NumPy."""

import keras
import numpy as np
import pytest

from usgland.cache import cache_folder
from usgland.models import weights
from usgland.models.squeezenet import squeezenet

# The authors' Caffe definitions: behind which layers a pool stands.
POOLED = {"1.0": ("conv1", "fire4", "fire8"), "1.1": ("conv1", "fire3", "fire5")}


def conv_relu(x, kernel, bias, stride=1, pad=0):
    """Correlates `(height, width, in)` with `(size, size, in, out)`, then clips."""
    size = kernel.shape[0]
    x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))
    windows = windows[::stride, ::stride].transpose(0, 1, 3, 4, 2)
    flat = windows.reshape(*windows.shape[:2], -1) @ kernel.reshape(-1, bias.size)
    return np.maximum(flat + bias, 0)


def pool(x):
    """3x3 maxima at stride 2, the last ones over what is left of the map: Caffe."""
    height, width = (-(-(side - 3) // 2) + 1 for side in x.shape[:2])
    rows = (x[2 * row : 2 * row + 3].max(axis=0) for row in range(height))
    x = np.stack(list(rows))
    columns = (x[:, 2 * at : 2 * at + 3].max(axis=1) for at in range(width))
    return np.stack(list(columns), axis=1)


def class_scores(image, arrays, version):
    """Class scores before the softmax, in float64."""

    def layer(x, name, **options):
        return conv_relu(x, arrays[f"{name}/kernel"], arrays[f"{name}/bias"], **options)

    x = layer(image.astype("float64"), "conv1", stride=2)
    for name in ["conv1", *(f"fire{number}" for number in range(2, 10))]:
        if name != "conv1":
            squeezed = layer(x, f"{name}_squeeze1x1")
            x = np.concatenate(
                [
                    layer(squeezed, f"{name}_expand1x1"),
                    layer(squeezed, f"{name}_expand3x3", pad=1),
                ],
                axis=-1,
            )
        if name in POOLED[version]:
            x = pool(x)
    return layer(x, "conv10").mean(axis=(0, 1))


def random_image(side):
    """Pixels as the ImageNet weights expect them: BGR in [0, 255] minus the means."""
    image = np.random.default_rng(side).uniform(0, 255, (side, side - 3, 3))
    return (image - (104, 117, 123)).astype("float32")


def network(version, shape):
    image = keras.Input(shape)
    return keras.Model(image, squeezenet(image, version=version, classes=1000))


def give(model, arrays):
    layers = [layer for layer in model.layers if layer.weights]
    assert {f"{layer.name}/kernel" for layer in layers} <= arrays.keys()
    assert 2 * len(layers) == len(arrays)
    for layer in layers:
        layer.set_weights(
            [arrays[f"{layer.name}/{part}"] for part in ("kernel", "bias")]
        )


@pytest.fixture(scope="module")
def imagenet(request):
    """The ImageNet weights, from the user's cache or the folder beside the repository.

    They are not fetched: that is a test of `test_weights.py`.
    """
    source = weights.SQUEEZENET
    path = cache_folder() / "weights" / source.converted
    arrays = weights._cached(path, source.arrays_sha256)
    if arrays is not None:
        return arrays
    shared = request.getfixturevalue("shared")
    with np.load(shared / "weights/squeezenet_v1.1/weights.npz") as file:
        return {
            name.replace("/", "_", name.count("/") - 1): file[name]
            for name in file.files
        }


@pytest.mark.parametrize("side", [224, 97])
def test_the_imagenet_logits_equal_those_of_plain_numpy(imagenet, side):
    image = random_image(side)
    model = network("1.1", image.shape)
    give(model, imagenet)
    expected = class_scores(image, imagenet, "1.1")
    assert expected.max() > 5  # it does see something in the noise
    received = keras.ops.convert_to_numpy(model(image[None]))[0]
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=5e-5)


@pytest.mark.parametrize(("version", "side"), [("1.0", 67), ("1.1", 80)])
def test_any_size_and_version_equal_plain_numpy_with_drawn_weights(version, side):
    image = random_image(side) / 64
    model = network(version, image.shape)
    arrays = {
        f"{layer.name}/{part}": array
        for layer in model.layers
        if layer.weights
        for part, array in zip(("kernel", "bias"), layer.get_weights(), strict=True)
    }
    draws = np.random.default_rng(1)
    for name in arrays:  # a bias of zero would hide a lost one
        if name.endswith("bias"):
            arrays[name] = draws.uniform(-0.2, 0.5, arrays[name].shape).astype("f4")
    expected = class_scores(image, arrays, version)
    assert np.ptp(expected) > 0.1
    for shape in (image.shape, (None, None, 3)):
        model = network(version, shape)
        give(model, arrays)
        received = keras.ops.convert_to_numpy(model(image[None]))[0]
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)
