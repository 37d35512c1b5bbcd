"""Networks by name: sizes, scaling, and where their weights come from."""

import inspect
import re
import shutil
import urllib.error
import urllib.request
from typing import get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from usgland.config import BackboneName, load_config
from usgland.errors import UserError
from usgland.models import weights
from usgland.models.backbones import (
    BACKBONES,
    backbone_layers,
    load_weights,
    model_arrays,
    scale_pixels,
)
from usgland.models.squeezenet import FIRES, squeezenet

NAMES = get_args(BackboneName)
GREY = np.arange(256, dtype="float32").reshape(1, 16, 16, 1)


def network(name, side=64, alpha=1.0):
    """The backbone alone, from scaled pixels to its feature map."""
    pixels = keras.Input((side, side, 3))
    return keras.Model(pixels, BACKBONES[name].build(pixels, alpha))


def drawn_arrays(model):
    """Arrays for every weight, as a weights file would hold them."""
    draws = np.random.default_rng(7)
    return {
        name: draws.uniform(0.1, 0.9, array.shape).astype("float32")
        for name, array in model_arrays(model).items()
    }


def assert_has(model, arrays):
    received = model_arrays(model)
    assert received.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(received[name], array, err_msg=name)


# SqueezeNet


@pytest.mark.parametrize(
    ("version", "classes", "parameters"),
    [
        ("1.0", 1000, 1_248_424),
        ("1.1", 1000, 1_235_496),
        ("1.0", None, 735_424),
        ("1.1", None, 722_496),
    ],
)
def test_squeezenet_has_the_published_number_of_parameters(
    version, classes, parameters
):
    image = keras.Input((224, 224, 3))
    model = keras.Model(image, squeezenet(image, version=version, classes=classes))
    assert model.count_params() == parameters


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("shape", [(64, 64), (65, 190), (None, None)])
def test_squeezenet_takes_any_size_from_64(version, shape):
    image = keras.Input((*shape, 3))
    model = keras.Model(image, squeezenet(image, version=version))
    features = np.asarray(model(np.ones((2, *(side or 77 for side in shape), 3))))
    assert features.shape[0] == 2
    assert features.shape[-1] == 512
    assert min(features.shape[1:3]) >= 3
    assert features.min() >= 0


@pytest.mark.parametrize("shape", [(63, 224), (224, 63), (32, 32)])
def test_squeezenet_names_a_size_below_64(shape):
    message = rf"at least 64 pixels. Received: .*{shape[0]}, {shape[1]}, 3"
    with pytest.raises(ValueError, match=message):
        squeezenet(keras.Input((*shape, 3)))


def test_squeezenet_names_an_unknown_version():
    message = r"one of \['1.0', '1.1'\]. Received: version='1.2'"
    with pytest.raises(ValueError, match=message):
        squeezenet(keras.Input((64, 64, 3)), version="1.2")


def test_squeezenet_starts_from_he_weights():
    # Uniform in +-sqrt(6 / inputs): its variance is 2 / inputs (He et al., 2015).
    kernels = [a for n, a in model_arrays(network("squeezenet1_1")).items() if "k" in n]
    for kernel in (k for k in kernels if k.ndim == 4 and k.size > 4000):
        inputs = np.prod(kernel.shape[:3])
        assert kernel.var() * inputs / 2 == pytest.approx(1, abs=0.1)
        assert np.abs(kernel).max() <= np.sqrt(6 / inputs)


# Every backbone


def test_the_settings_and_the_table_know_the_same_backbones():
    assert set(NAMES) == set(BACKBONES)


def test_an_unknown_backbone_is_an_error_that_names_the_valid_ones():
    with pytest.raises(UserError, match="Received: 'alexnet'") as error:
        load_config(None, ["model.backbone=alexnet"])
    assert all(f"'{name}'" in str(error.value) for name in NAMES)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "preprocess"),
    [
        ("mobilenet_v2", keras.applications.mobilenet_v2.preprocess_input),
        ("vgg16", keras.applications.vgg16.preprocess_input),
        ("resnet101", keras.applications.resnet.preprocess_input),
    ],
)
def test_the_pixel_scaling_is_that_of_keras_applications(name, preprocess):
    pixels = keras.Input((16, 16, 1))
    received = keras.Model(pixels, scale_pixels(pixels, name))(GREY)
    expected = preprocess(np.repeat(GREY, 3, axis=-1))
    np.testing.assert_allclose(received, expected, atol=1e-4)


def test_the_pixel_scaling_survives_saving_and_rounds_as_its_formula(tmp_path):
    pixels = keras.Input((16, 16, 1))
    model = keras.Model(pixels, scale_pixels(pixels, "mobilenet_v2"))
    assert not model.weights
    model.save(tmp_path / "scaling.keras")
    loaded = keras.models.load_model(tmp_path / "scaling.keras")
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()
    # NumPy rounds the product and the sum, each to float32.
    expected = GREY.astype("float32") * np.float32(1 / 127.5) + np.float32([-1] * 3)
    np.testing.assert_array_equal(tf.function(loaded)(GREY), expected)
    np.testing.assert_array_equal(loaded(GREY.astype("uint8")), expected)


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_the_pixel_scaling_of_squeezenet_subtracts_the_means_of_caffe(name):
    pixels = keras.Input((16, 16, 1))
    received = keras.Model(pixels, scale_pixels(pixels, name))(GREY)
    for channel, mean in enumerate((104, 117, 123)):  # B, G, R
        np.testing.assert_array_equal(received[..., channel], GREY[..., 0] - mean)


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet1_0",
        "squeezenet1_1",
        "mobilenet_v2",
        "vgg16",
        pytest.param("resnet101", marks=pytest.mark.slow),
    ],
)
def test_the_graph_is_flat_so_that_saliency_methods_find_convolutions(name):
    pixels = keras.Input((64, 64, 1))
    model = keras.Model(pixels, BACKBONES[name].build(scale_pixels(pixels, name), 0.35))
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    convolutions = [
        layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    assert len(convolutions) >= 13
    if name.startswith("squeezenet"):
        parts = ("squeeze1x1", "expand1x1", "expand3x3")
        expected = [f"{fire}_{part}" for fire in FIRES for part in parts]
        assert sorted(convolutions) == sorted(["conv1", *expected])


@pytest.mark.parametrize(
    ("name", "alpha", "parameters"),
    [
        # Keras' own tables, without the top.
        ("mobilenet_v2", 1.0, 2_257_984),
        ("mobilenet_v2", 0.35, 410_208),
        ("vgg16", 1.0, 14_714_688),
        pytest.param("resnet101", 1.0, 42_658_176, marks=pytest.mark.slow),
    ],
)
def test_the_comparators_have_the_published_number_of_parameters(
    name, alpha, parameters
):
    assert network(name, alpha=alpha).count_params() == parameters


# Weights


@pytest.fixture(scope="module")
def arrays():
    return drawn_arrays(network("squeezenet1_1"))


def test_weights_come_from_an_npz(arrays, tmp_path):
    path = tmp_path / "weights.npz"
    # A layer more, as the 1000 classes of ImageNet, does no harm.
    np.savez(path, **arrays, **{"conv10/kernel": np.zeros((1, 1, 512, 1000))})
    model = network("squeezenet1_1")
    load_weights(model, "squeezenet1_1", str(path), 1.0)
    assert_has(model, arrays)


@pytest.mark.parametrize("as_run", [False, True])
def test_weights_come_from_a_keras_file_or_a_run_directory(arrays, tmp_path, as_run):
    source = network("squeezenet1_1", side=96)
    for layer in (layer for layer in source.layers if layer.weights):
        layer.set_weights([arrays[f"{layer.name}/{v.name}"] for v in layer.weights])
    source.save(tmp_path / "model.keras")
    model = network("squeezenet1_1")
    path = tmp_path if as_run else tmp_path / "model.keras"
    load_weights(model, "squeezenet1_1", str(path), 1.0)
    assert_has(model, arrays)


def test_weights_come_from_a_weights_file_of_the_backbone(arrays, tmp_path):
    source = network("squeezenet1_1")
    for layer in (layer for layer in source.layers if layer.weights):
        layer.set_weights([arrays[f"{layer.name}/{v.name}"] for v in layer.weights])
    source.save_weights(tmp_path / "some.weights.h5")
    model = network("squeezenet1_1")
    load_weights(model, "squeezenet1_1", str(tmp_path / "some.weights.h5"), 1.0)
    assert_has(model, arrays)


def test_mobilenet_v2_takes_imagenet_weights_from_a_file(shared):
    name = "mobilenet_v2_0.35_224_notop"
    path = shared / "weights" / name / f"{name}.weights.h5"
    if not path.exists():
        pytest.skip("needs the MobileNetV2 weights in ../shared/weights")
    pixels = keras.Input((224, 224, 3))
    model = keras.Model(pixels, BACKBONES["mobilenet_v2"].build(pixels, 0.35))
    load_weights(model, "mobilenet_v2", str(path), 0.35)
    reference = keras.applications.MobileNetV2(
        input_shape=(224, 224, 3), alpha=0.35, include_top=False, weights=str(path)
    )
    assert_has(model, model_arrays(reference))
    assert np.ptp(model.get_layer("bn_Conv1").moving_variance) > 0.01


def test_only_the_backbone_takes_weights(arrays, tmp_path):
    np.savez(tmp_path / "weights.npz", **arrays, **{"logit/bias": np.ones(1)})
    pixels = keras.Input((64, 64, 3))
    x = BACKBONES["squeezenet1_1"].build(pixels, 1.0)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(pixels, keras.layers.Dense(1, name="logit")(x))
    load_weights(model, "squeezenet1_1", str(tmp_path / "weights.npz"), 1.0)
    assert not np.asarray(model.get_layer("logit").bias).any()
    received = np.asarray(model.get_layer("conv1").kernel)
    np.testing.assert_array_equal(received, arrays["conv1/kernel"])


def test_the_layers_of_a_backbone_are_those_with_weights():
    names = backbone_layers("squeezenet1_1", 1.0)
    assert len(names) == 1 + 3 * 8
    assert names[0] == "conv1"


def test_a_weights_file_lacking_a_layer_is_of_another_network(arrays, tmp_path):
    few = {name: array for name, array in arrays.items() if "fire7" not in name}
    np.savez(tmp_path / "weights.npz", **few)
    message = r"expected fire7_squeeze1x1/kernel of shape \(1, 1, 384, 48\) for "
    message += r"squeezenet1_1 in .*weights.npz. Received: nothing"
    with pytest.raises(UserError, match=message):
        load_weights(
            network("squeezenet1_1"),
            "squeezenet1_1",
            str(tmp_path / "weights.npz"),
            1.0,
        )


def test_weights_of_the_other_squeezenet_do_not_fit(arrays, tmp_path):
    np.savez(tmp_path / "weights.npz", **arrays)
    message = r"conv1/kernel of shape \(7, 7, 3, 96\) .*Received: shape \(3, 3, 3, 64\)"
    with pytest.raises(UserError, match=message):
        load_weights(
            network("squeezenet1_0"),
            "squeezenet1_0",
            str(tmp_path / "weights.npz"),
            1.0,
        )


def test_weights_that_do_not_fit_change_nothing(arrays, tmp_path):
    few = {name: array for name, array in arrays.items() if "fire9" not in name}
    np.savez(tmp_path / "weights.npz", **few)
    model = network("squeezenet1_1")
    before = model_arrays(model)
    with pytest.raises(UserError, match="fire9"):
        load_weights(model, "squeezenet1_1", str(tmp_path / "weights.npz"), 1.0)
    assert_has(model, before)


def test_a_keras_weights_file_of_another_network_is_named(tmp_path):
    pixels = keras.Input((64, 64, 3))
    other = keras.Model(pixels, keras.layers.Conv2D(4, 3, name="conv1")(pixels))
    other.save_weights(tmp_path / "other.weights.h5")
    message = "expected weights of squeezenet1_1 .*other.weights.h5"
    with pytest.raises(UserError, match=message) as error:
        load_weights(
            network("squeezenet1_1"),
            "squeezenet1_1",
            str(tmp_path / "other.weights.h5"),
            1.0,
        )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["text", "cut", "empty"])
@pytest.mark.parametrize(
    "name", ["model.keras", "some.weights.h5", "some.h5", "some.npz", "some.bin"]
)
def test_a_corrupt_weights_file_is_one_line(tmp_path, name, damage):
    path = tmp_path / name
    model = network("squeezenet1_1")
    if damage == "text":
        path.write_text("no weights at all", encoding="utf-8")
    elif damage == "empty":
        path.touch()
    else:
        {
            ".keras": model.save,
            ".h5": lambda p: model.save_weights(tmp_path / "x.weights.h5"),
            ".npz": lambda p: np.savez(p, **model_arrays(model)),
            ".bin": lambda p: p.write_bytes(b"\1" * 100),
        }[path.suffix](path)
        if path.suffix == ".h5":
            shutil.move(tmp_path / "x.weights.h5", path)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
    before = model_arrays(model)
    with pytest.raises(UserError, match="Received") as error:
        load_weights(model, "squeezenet1_1", str(path), 1.0)
    assert name in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600
    assert_has(model, before)


@pytest.mark.parametrize("path", ["nowhere.npz", "nowhere", "."])
def test_missing_weights_are_named(tmp_path, path):
    message = "expected 'imagenet', null, a weights file or a run directory"
    with pytest.raises(UserError, match=message):
        load_weights(
            network("squeezenet1_1"), "squeezenet1_1", str(tmp_path / path), 1.0
        )


def test_squeezenet_1_0_has_no_imagenet_weights():
    message = "no ImageNet weights of squeezenet1_0.*Received: 'imagenet'"
    with pytest.raises(UserError, match=message):
        load_weights(network("squeezenet1_0"), "squeezenet1_0", "imagenet", 1.0)


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """No network and nothing cached; gives the addresses that were asked for."""
    asked = []

    def refuse(request, timeout):  # an address
        asked.append(request)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return asked


@pytest.mark.parametrize(
    ("name", "alpha", "file"),
    [
        (
            "mobilenet_v2",
            0.5,
            "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_"
            "0.5_224_no_top.h5",
        ),
        (
            "vgg16",
            1.0,
            "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        ),
        (
            "resnet101",
            1.0,
            "resnet/resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5",
        ),
    ],
)
def test_offline_the_error_says_which_file_to_bring_and_where_to(
    no_network, tmp_path, name, alpha, file
):
    # The model is not looked at before the weights are there.
    with pytest.raises(UserError, match="no route to host") as error:
        load_weights(None, name, "imagenet", alpha)
    assert no_network == [weights.KERAS_WEIGHTS + file]
    assert no_network[0] in str(error.value)
    assert str(tmp_path / "usgland" / "weights") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_file_of_the_cache_that_no_checksum_finds_is_named(
    no_network, tmp_path
):
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    path = tmp_path / "usgland" / "weights" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(weights.HDF5 + b"damaged")
    with pytest.raises(UserError, match=f"{name}. Received a file .*; delete it and"):
        load_weights(None, "mobilenet_v2", "imagenet", 0.35)
    assert no_network == []


@pytest.mark.parametrize(
    ("name", "network"),
    [("vgg16", keras.applications.VGG16), ("resnet101", keras.applications.ResNet101)],
)
def test_the_checksums_are_those_of_keras_applications(no_network, name, network):
    with pytest.raises(UserError) as error:
        load_weights(None, name, "imagenet", 1.0)
    (received,) = re.findall("with MD5 ([0-9a-f]{32}) in", str(error.value))
    assert f'"{received}"' in inspect.getsource(inspect.getmodule(network))


def test_mobilenet_v2_names_a_width_without_imagenet_weights():
    message = r"`model.alpha`.*one of \(0.35, .*Received: 0.6"
    with pytest.raises(UserError, match=message):
        load_weights(None, "mobilenet_v2", "imagenet", 0.6)
