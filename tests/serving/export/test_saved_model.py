"""The SavedModel: needs TensorFlow alone, repeats the run, appears whole."""

import io
import json
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from tests.commands import full_disk
from tests.explanation.networks import classifier
from usgland.config import load_config
from usgland.errors import UserError
from usgland.models.classifier import build_classifier
from usgland.serving.export import answer_network, saved_model
from usgland.serving.export.answer_network import Decision
from usgland.serving.export.saved_model import export_model
from usgland.serving.export.warmup import example_case
from usgland.serving.server.server_options import ServerOptions
from usgland.training.predict import predict_rows

AS_IT_IS = (Decision(1.0, 0.0, 0.5), {})  # no calibration, no sheet
SIZES = ((64, 64), (90, 71), (200, 33), (47, 120), (150, 151))
# Serves what stands in a folder, where nothing of ours and no Keras can be imported.
CLIENT = """
import json, sys

for name in ("usgland", "keras", "tf_keras", "keras_cv"):
    sys.modules[name] = None  # To import it is an error from here on.
from pathlib import Path
import tensorflow as tf

folder, *images = sys.argv[1:]
serve = tf.saved_model.load(folder).signatures["serving_default"]
batch = tf.constant([Path(image).read_bytes() for image in images])
served = serve(image_bytes=batch)
print(json.dumps({
    "dtypes": {name: values.dtype.name for name, values in served.items()},
    "probability": served["probability"].numpy().tolist(),
    "modules": [name for name, module in sys.modules.items()
                if module and name.split(".")[0] in ("usgland", "keras", "tf_keras")],
}))
"""


def encode(pixels, kind):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """PNG and JPEG files, grey and coloured, no two of one size."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(3)
    paths = []
    for i, size in enumerate(SIZES):
        for kind, shape in (("png", size), ("jpeg", (*size, 3))):
            pixels = rng.integers(0, 120 + 20 * i, shape, dtype=np.uint8)
            path = folder / f"{i}.{kind}"
            path.write_bytes(encode(pixels, kind))
            paths.append(path)
    return paths


@pytest.fixture(scope="module")
def rows(images):
    paths = [str(path) for path in images]
    unknown = {"patient_id": "", "role": "test", "label": -1, "synthetic": "0"}
    return pd.DataFrame({"image": paths, "image_path": paths}).assign(**unknown)


@pytest.fixture(scope="module")
def model(rows):
    """SqueezeNet with a head that spreads these images around one half."""
    config = load_config(
        None, ("model.weights=null", "preprocessing.image_size=64", "train.seed=3")
    )
    model = build_classifier(config)
    head = model.get_layer("logit")
    head.kernel.assign(keras.random.normal(head.kernel.shape, seed=1))
    logits = predict_rows(model, rows)["logit"].to_numpy()
    head.kernel.assign(head.kernel / logits.std())
    head.bias.assign([-logits.mean() / logits.std()])
    return model


@pytest.fixture(scope="module")
def form_alone():
    """A model that is exported in a moment, and a case: for what files do."""
    model = classifier("clinical")
    return model, example_case(model)


@pytest.fixture(scope="module")
def contents(images):
    return [path.read_bytes() for path in images]


@pytest.fixture(scope="module")
def exported(model, contents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "mine"
    return export_model(model, folder, {"image_bytes": contents}, *AS_IT_IS)


@pytest.fixture(scope="module")
def predicted(model, rows):
    """What `usgland predict` writes, image by image."""
    probability = predict_rows(model, rows)["probability"].to_numpy()
    assert np.ptp(probability) > 0.2  # or any constant would pass
    return probability


def test_the_export_repeats_what_predict_writes_for_a_ragged_batch(
    exported, contents, predicted
):
    signatures = tf.saved_model.load(str(exported)).signatures
    assert set(signatures) == {
        "serving_default",
        "image_only",
        "from_pixels",
        "explain",
    }
    served = signatures["serving_default"](image_bytes=tf.constant(contents))
    answers = {"probability", "logit", "label", "model_version"}
    assert set(served) == answers | {"lesion_box", "lesion_found"}
    np.testing.assert_allclose(served["probability"], predicted, atol=1e-5)


@pytest.mark.slow
def test_a_network_that_is_very_sure_is_exported_with_its_calibration(
    model, rows, contents, tmp_path
):
    # In float32 the probabilities of such logits are nearly 1, or 1.
    sure = keras.models.clone_model(model)
    sure.set_weights(model.get_weights())
    bias = sure.get_layer("logit").bias
    bias.assign(bias + 16)
    logits = predict_rows(sure, rows)["logit"].to_numpy("float64")
    assert logits.min() > 10 and logits.max() > 17
    expected = 1 / (1 + np.exp(3 - logits / 4))
    point = np.median(expected)
    decision = Decision(0.25, -3.0, float(point))
    cases = {"image_bytes": contents}
    folder = export_model(sure, tmp_path / "mine", cases, decision, {})
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    answer = served(image_bytes=tf.constant(contents))
    np.testing.assert_allclose(answer["probability"], expected, atol=1e-5)
    words = [
        b"malignant" if probability >= point else b"benign" for probability in expected
    ]
    assert answer["label"].numpy().tolist() == words
    assert answer["model_version"].numpy().tolist() == [b"mine/1"] * len(words)


@pytest.mark.slow
def test_a_served_export_gives_the_same_probabilities(
    exported, contents, predicted, serving
):
    with serving.RunningServer(ServerOptions(exported.parent.parent)) as server:
        instances = [serving.b64(content) for content in contents]
        status, body = server.client.predict({"instances": instances}, model="mine")
        assert status == 200
        served = [row["probability"] for row in body["predictions"]]
        np.testing.assert_allclose(served, predicted, atol=1e-5)
        for content, probability in zip(contents, predicted, strict=True):
            body = server.client.predict(
                {"inputs": {"image_bytes": [serving.b64(content)]}}, model="mine"
            )[1]
            served = body["outputs"]["probability"]
            assert served == pytest.approx([probability], abs=1e-5)


@pytest.mark.slow
def test_a_process_without_our_package_and_keras_gives_the_same_probabilities(
    exported, images, predicted, tmp_path
):
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(exported), *map(str, images)],
        cwd=tmp_path,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    received = json.loads(done.stdout)
    assert received["modules"] == []
    assert received["dtypes"] == {
        "probability": "float32",
        "logit": "float32",
        "label": "string",
        "model_version": "string",
        "lesion_box": "float32",
        "lesion_found": "float32",
    }
    np.testing.assert_allclose(received["probability"], predicted, atol=1e-5)


def test_versions_are_numbered_on_from_the_highest_one(form_alone, tmp_path):
    model, case = form_alone
    folder = tmp_path / "mine"
    assert export_model(model, folder, case, *AS_IT_IS) == folder / "1"
    assert export_model(model, folder, case, *AS_IT_IS) == folder / "2"
    (folder / "9").mkdir()
    (folder / "notes").mkdir()
    (folder / "1").rename(folder / "01x")
    assert export_model(model, folder, case, *AS_IT_IS) == folder / "10"
    assert files_in(folder) == ["01x", "10", "2", "9", "notes", "operator"]


def test_a_version_that_another_process_took_is_not_overwritten(
    form_alone, tmp_path, monkeypatch
):
    model, case = form_alone
    folder = tmp_path / "mine"
    check = saved_model._check_parity

    def publish_meanwhile(*arguments):
        check(*arguments)
        (folder / "1").mkdir(exist_ok=True)
        (folder / "1" / "of_the_other").touch()

    monkeypatch.setattr(saved_model, "_check_parity", publish_meanwhile)
    assert export_model(model, folder, case, *AS_IT_IS) == folder / "2"
    assert files_in(folder / "1") == ["of_the_other"]


def test_an_export_that_disagrees_with_the_run_is_not_published(
    form_alone, tmp_path, monkeypatch
):
    model, case = form_alone
    monkeypatch.setattr(saved_model, "TOLERANCE", -1.0)
    with pytest.raises(UserError, match="repeat the run's probabilities to within -1"):
        export_model(model, tmp_path / "mine", case, *AS_IT_IS)
    assert files_in(tmp_path) == []


def test_a_probability_that_is_no_number_is_not_published(form_alone, tmp_path):
    _, case = form_alone
    broken = classifier("clinical")
    broken.get_layer("logit").bias.assign([float("nan")])
    with pytest.raises(UserError, match="Received a difference of nan; nothing was"):
        export_model(broken, tmp_path / "mine", case, *AS_IT_IS)
    assert files_in(tmp_path) == []


def test_a_disk_that_fills_leaves_earlier_versions_and_no_part(
    form_alone, tmp_path, capfd
):
    model, case = form_alone
    folder = tmp_path / "mine"
    message = f"Cannot write a model under {folder}"
    with pytest.raises(UserError, match=message) as error, full_disk(10_000):
        export_model(model, folder, case, *AS_IT_IS)
    assert "\n" not in str(error.value)
    assert files_in(tmp_path) == []
    (folder / "1").mkdir(parents=True)
    with pytest.raises(UserError, match="Cannot write a model"), full_disk(10_000):
        export_model(model, folder, case, *AS_IT_IS)
    assert files_in(folder) == ["1"]
    assert capfd.readouterr().err == ""


def test_a_file_in_the_way_of_the_models_is_named(form_alone, tmp_path):
    model, case = form_alone
    (tmp_path / "models").touch()
    with pytest.raises(UserError, match="Cannot write a model under .*models/mine: "):
        export_model(
            model,
            tmp_path / "models" / "mine",
            case,
            *AS_IT_IS,
        )


def test_weights_of_a_small_network_are_constants_that_are_stored_once(model, exported):
    weights = sum(variable.value.numpy().nbytes for variable in model.variables)
    stored = sum(path.stat().st_size for path in exported.rglob("*") if path.is_file())
    assert stored < 1.5 * weights  # The rest is the graphs of four signatures.
    variables = tf.train.list_variables(str(exported / "variables" / "variables"))
    largest = max(np.prod(shape, dtype=int) for _, shape in variables)
    assert largest == model.get_layer("logit").kernel.shape[0]


@pytest.mark.slow
def test_weights_of_a_large_network_stay_variables_that_signatures_share(
    model, contents, predicted, tmp_path, monkeypatch
):
    monkeypatch.setattr(answer_network, "MOST_CONSTANT", 1_000)
    cases = {"image_bytes": contents}
    folder = export_model(model, tmp_path / "large", cases, *AS_IT_IS)
    variables = tf.train.list_variables(str(folder / "variables" / "variables"))
    shapes = [tuple(shape) for _, shape in variables]
    assert tuple(model.get_layer("conv1").kernel.shape) in shapes
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    received = serve(image_bytes=tf.constant(contents))["probability"].numpy()
    np.testing.assert_allclose(received, predicted, rtol=0, atol=1e-5)
