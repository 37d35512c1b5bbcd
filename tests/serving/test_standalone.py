"""Every signature in a process that can import neither our package nor Keras."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.explanation.networks import ENCODING, WORDS, classifier
from usgland.models.answers import answer_files
from usgland.serving.export.answer_network import Decision
from usgland.serving.export.saved_model import export_model
from usgland.serving.export.warmup import example_case

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

# Answers the requests that were exported with a model.
CLIENT = """
import json, sys

for name in ("usgland", "keras", "tf_keras", "keras_cv", "tf_keras_vis"):
    sys.modules[name] = None  # To import it is an error from here on.
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

signatures = tf.saved_model.load(sys.argv[1]).signatures
path = sys.argv[1] + "/assets.extra/tf_serving_warmup_requests"
answers = {}
for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
    request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
    given = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
    outputs = signatures[request.model_spec.signature_name](**given)
    answers[request.model_spec.signature_name] = {
        name: [one.hex() if isinstance(one, bytes) else one for one in
               values.numpy().tolist()]
        for name, values in outputs.items()
    }
print(json.dumps([answers, [
    name for name, module in sys.modules.items()
    if module and name.split(".")[0] in ("usgland", "keras", "tf_keras")]]))
"""


@pytest.mark.parametrize("inputs", ["image", "both", "clinical"])
def test_a_bare_process_gives_every_answer(inputs, tmp_path):
    model = classifier(inputs, encoding=[*ENCODING, WORDS])
    case = example_case(model)
    taken = [tensor.name for tensor in model.inputs]
    batch = {name: values for name, values in case.items() if name in taken}
    decision = Decision(0.5, 0.25, 0.5)
    version = export_model(model, tmp_path / "mine", batch, decision, {})
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(version)],
        cwd=tmp_path,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers, modules = json.loads(done.stdout)
    assert modules == []
    signatures = tf.saved_model.load(str(version)).signatures
    assert set(answers) == set(signatures)
    for name, signature in signatures.items():
        specs = signature.structured_input_signature[1]
        outputs = signature(**{name: tf.constant(case[name]) for name in specs})
        assert set(answers[name]) == set(outputs)
        for output, values in outputs.items():
            received = answers[name][output]
            if values.dtype == tf.string:
                assert received == [value.hex() for value in values.numpy()]
            else:
                np.testing.assert_allclose(received, values, rtol=1e-5, atol=1e-6)
    # And what they say is what the run's model says.
    tensors = {name: tf.constant(values) for name, values in batch.items()}
    taken = tensors if inputs != "image" else tensors["image_bytes"]
    logit = answer_files(model, taken).logit[:, 0]
    np.testing.assert_allclose(
        answers["serving_default"]["logit"], 0.5 * logit + 0.25, rtol=1e-4, atol=1e-5
    )
