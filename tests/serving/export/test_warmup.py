"""The requests that are exported with a model, as a server replays them."""

import io
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from tests.explanation.networks import ENCODING, WORDS, classifier
from usgland.serving.export.answer_network import Decision
from usgland.serving.export.saved_model import export_model
from usgland.serving.export.warmup import example_case, speckle
from usgland.serving.server.servable import Servable

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]


@pytest.fixture(scope="module", params=["image", "both", "clinical"])
def exported(request, tiny_network, tmp_path_factory):
    model = classifier(request.param, encoding=[*ENCODING, WORDS])
    case = example_case(model)
    names = [tensor.name for tensor in model.inputs]
    inputs = {name: values for name, values in case.items() if name in names}
    folder = tmp_path_factory.mktemp(request.param) / "mine"
    return export_model(model, folder, inputs, Decision(1.0, 0.0, 0.5), {})


def records(version):
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        yield prediction_log_pb2.PredictionLog.FromString(record).predict_log.request


def test_every_signature_has_a_request_that_a_server_replays(exported):
    servable = Servable(exported, "mine", 1)
    requests = list(records(exported))
    assert sorted(request.model_spec.signature_name for request in requests) == (
        servable.signature_names()
    )
    assert {request.model_spec.name for request in requests} == {"mine"}
    # All inputs, also those with a default: not every server fills them in.
    for request in requests:
        signature = servable.signature(request.model_spec.signature_name)
        assert set(request.inputs) == set(signature.inputs)
    assert servable.warm_up(60.0) == len(requests)
    servable.close()


def test_the_form_in_a_request_is_an_ordinary_one(exported):
    for request in records(exported):
        if "margin" in request.inputs:
            assert tf.make_ndarray(request.inputs["margin"]).tolist() == [b"unclear"]
            assert tf.make_ndarray(request.inputs["age_years"]).tolist() == [50.0]


def test_the_picture_in_a_request_is_the_one_drawn_here(exported):
    for request in records(exported):
        if "image_bytes" in request.inputs:
            (content,) = tf.make_ndarray(request.inputs["image_bytes"])
            with Image.open(io.BytesIO(content)) as image:
                np.testing.assert_array_equal(np.asarray(image), speckle()[..., 0])
        if "pixels" in request.inputs:
            pixels = tf.make_ndarray(request.inputs["pixels"])
            np.testing.assert_array_equal(pixels[0], speckle())


def test_the_picture_is_the_same_in_every_export():
    np.testing.assert_array_equal(speckle(), speckle())
    assert 60 < speckle().mean() < 120


def test_a_request_that_fails_keeps_the_version_from_being_served(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "1")
    (request,) = list(records(exported))[:1]
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(request)
    for values in log.predict_log.request.inputs.values():
        if values.dtype == tf.string.as_datatype_enum:
            values.string_val[0] = b"no word of the form, and no image"
    path = tmp_path / "1" / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())
    servable = Servable(tmp_path / "1", "mine", 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected|expected"):
        servable.warm_up(60.0)
    servable.close()
