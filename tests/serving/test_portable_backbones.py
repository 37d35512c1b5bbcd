"""Every network converts, and in float32 says what Keras says."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.serving.portable_runs import images, logits_of, spread
from usgland.config import load_config
from usgland.models.backbones import BACKBONES
from usgland.models.classifier import build_classifier
from usgland.serving.portable.litert import convert_litert, litert_runner
from usgland.serving.portable.onnx import convert_onnx, onnx_runner

pytest.importorskip("ai_edge_litert", reason="needs the extra `litert`")
pytest.importorskip("tf2onnx", reason="needs the extra `onnx`")
SAME = {"slope": 1.0, "intercept": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_network_converts(backbone):
    model = build_classifier(
        load_config(
            None,
            (
                "model.weights=null",
                f"model.backbone={backbone}",
                "preprocessing.image_size=64",
                # What an untrained head finds hangs on rounding.
                "model.second_view=false",
                "preprocessing.speckle_filter=median3",
            ),
        )
    )
    head = model.get_layer("logit").kernel
    head.assign(np.random.default_rng(0).normal(size=head.shape))
    contents = np.array(images(6), object)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # Or untrained feature maps are next to nothing.
    model(tf.constant(contents), training=True)
    spread(model, contents)
    expected = logits_of(model, contents)
    layer = model.get_layer("preprocessing")
    cases = [{"pixels": layer.read(tf.constant(c)).numpy()[None]} for c in contents]

    # int8 of ResNet101 takes minutes.
    files = convert_litert(model, SAME, [] if backbone == "resnet101" else cases)
    for name, content in files.items():
        run = litert_runner(content, 2)
        received = np.array([run(case)[0] for case in cases])
        # What rounding does to untrained features says nothing, but it must run.
        assert np.isfinite(received).all(), name
        if name == "fp32.tflite":
            np.testing.assert_allclose(received, expected, atol=0.02)
    run = onnx_runner(convert_onnx(model, SAME), 2)
    np.testing.assert_allclose([run(case)[0] for case in cases], expected, atol=0.02)
