"""What a GPU is given to do: nothing that raises there once runs must repeat."""

import keras
import pytest
import tensorflow as tf

from tests.graph_ops import raising_on_a_gpu, without_gpu_kernel
from usgland.config import load_config
from usgland.explanation.heatmap_graph import gradcam_of, heatmap_png
from usgland.models.augmentation import make_augment
from usgland.models.classifier import build_classifier, view_network
from usgland.models.preprocessing import Preprocessing
from usgland.training.averaging import WeightAverage
from usgland.training.device import precision
from usgland.training.gradient_step import make_step
from usgland.training.optimizers import make_optimizer

EVERYTHING = (
    "augmentation={vertical_flip: true, aspect: 0.1, gamma: 0.2, noise: 0.1, "
    "cutout: 0.3, mixup: 0.4}"
)
BATCH, SIZE = 4, 64


def graph_of(function, *specs):
    return tf.function(function).get_concrete_function(*specs).graph


def spec(*shape, dtype=tf.float32):
    return tf.TensorSpec(shape, dtype)


def test_a_planted_operation_that_raises_is_named_unless_held_on_the_processor():
    def count(values):
        return tf.map_fn(tf.math.bincount, values)

    def held(values):
        with tf.device("CPU"):
            return count(values)

    values = spec(3, 5, dtype=tf.int32)
    assert "DenseBincount" in raising_on_a_gpu(graph_of(count, values))
    assert raising_on_a_gpu(graph_of(held, values)) == set()


def test_a_planted_operation_without_a_kernel_is_named_with_its_types():
    def shrink(images):
        return tf.image.resize(images, (4, 4), antialias=True)

    left = without_gpu_kernel(graph_of(shrink, spec(1, 8, 8, 1)))
    assert left == {"ScaleAndTranslate float32"}


def test_augmentation_runs_on_a_gpu_and_repeats():
    settings = [EVERYTHING, "model.lesion_head=false"]
    augment = make_augment(load_config(None, settings).augmentation)
    pixels = spec(BATCH, SIZE, SIZE, 1, dtype=tf.uint8)
    graph = graph_of(augment, pixels, spec(BATCH, 1), spec(2, dtype=tf.int32))
    assert raising_on_a_gpu(graph) == set()
    assert without_gpu_kernel(graph) == set()


@pytest.mark.parametrize("speckle_filter", ["none", "median3"])
def test_no_preprocessing_is_left_to_a_gpu(speckle_filter):
    layer = Preprocessing(SIZE, speckle_filter=speckle_filter, allow_empty=True)
    graph = graph_of(layer.call, spec(None, dtype=tf.string))
    assert raising_on_a_gpu(graph) == set()
    assert without_gpu_kernel(graph) == set()
    graph = graph_of(layer.normalize, spec(None, None, 1))
    assert raising_on_a_gpu(graph) == set()
    assert without_gpu_kernel(graph) == set()


def test_a_whole_classifier_keeps_its_preprocessing_on_the_processor():
    model = build_classifier(load_config(None, ["model.weights=null"]))
    graph = graph_of(lambda files: model(files), spec(None, dtype=tf.string))
    assert raising_on_a_gpu(graph) == set()
    assert without_gpu_kernel(graph) == set()


def test_a_heat_map_runs_on_a_gpu_and_its_picture_is_written_on_the_processor():
    def explain(features, gradient, sides):
        return heatmap_png(gradcam_of(features, gradient), sides, SIZE)

    features = spec(BATCH, 7, 7, 8)
    graph = graph_of(explain, features, features, spec(BATCH, 2, dtype=tf.int32))
    assert raising_on_a_gpu(graph) == set()
    assert without_gpu_kernel(graph) == set()


@pytest.mark.parametrize(
    "policy", [pytest.param("float32", marks=pytest.mark.slow), "mixed_bfloat16"]
)
def test_a_step_of_the_default_network_runs_whole_on_a_gpu_and_repeats(policy):
    graph = step_graph("squeezenet1_1", policy)
    assert raising_on_a_gpu(graph) == set()
    assert without_gpu_kernel(graph) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "policy"),
    [
        # What normalizes in half precision is MobileNetV2's; ResNet's is the same.
        ("mobilenet_v2", "mixed_bfloat16"),
        ("vgg16", "mixed_bfloat16"),
        ("resnet101", "float32"),
    ],
)
def test_a_step_of_the_other_networks_runs_on_a_gpu_and_repeats(backbone, policy):
    graph = step_graph(backbone, policy)
    assert raising_on_a_gpu(graph) == set()
    assert without_gpu_kernel(graph) == set()


def step_graph(backbone, policy):
    settings = (f"model.backbone={backbone}", "model.weights=null", "train.clip_norm=1")
    config = load_config(None, [*settings, f"preprocessing.image_size={SIZE}"])
    with precision(policy):
        network = view_network(build_classifier(config))
    grid = network.outputs[1].shape[1]
    network.compile(make_optimizer(config, 10, [], frozen=False), jit_compile=False)
    network.optimizer.build(network.trainable_variables)
    step = make_step(
        network,
        keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum"),
        WeightAverage(network, 0.99),
        batch_size=BATCH,
        augment=make_augment(config.augmentation, size=SIZE, grid=grid),
    )
    side = config.preprocessing.picture_side
    pixels = spec(BATCH, side, side, 1, dtype=tf.uint8)
    labels, weights = spec(BATCH, 1), spec(BATCH)
    others = spec(2, dtype=tf.int32), spec(BATCH, 4)
    return graph_of(step, pixels, labels, weights, *others)
