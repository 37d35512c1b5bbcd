"""The ONNX file says what the Keras model says, in ONNX Runtime."""

import importlib.util
import math

import numpy as np
import pytest

from tests.explanation.networks import SIZE, classifier
from tests.serving.portable_runs import (
    ENCODING,
    FORMS,
    REFUSED,
    form,
    logits_of,
)
from usgland.errors import UserError
from usgland.models.answers import Looking
from usgland.models.fusion import FUSIONS
from usgland.serving.portable.onnx import check_onnx, convert_onnx, onnx_runner

HOW = "needs the extra `onnx`"
onnxruntime = pytest.importorskip("onnxruntime", reason=HOW)
pytest.importorskip("tf2onnx", reason=HOW)
pytestmark = pytest.mark.usefixtures("tiny_network")
SAME = {"slope": 1.0, "intercept": 0.0}


def session(content):
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def test_a_batch_gives_the_probabilities_of_the_model(model, contents, pixels):
    content = convert_onnx(model, {"slope": 0.5, "intercept": -1.0})
    named = ["logit", "probability", "lesion_box", "lesion_found"]
    logit, probability, box, found = session(content).run(named, {"pixels": pixels})
    expected = logits_of(model, contents)
    assert np.ptp(expected) > 2  # or any constant would pass
    answered = Looking(model).answer(pixels)
    np.testing.assert_allclose(found, answered.found, atol=1e-4)
    # Of random weights, a cell may be at the edge of a lesion but for rounding.
    same = np.isclose(box, SIZE * answered.box, atol=1e-3).all(axis=1)
    assert same.mean() > 0.8
    np.testing.assert_allclose(logit[same], 0.5 * expected[same] - 1, atol=1e-4)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logit)), atol=1e-6)
    answer = onnx_runner(content, 1)({"pixels": pixels[:1]})
    assert answer == pytest.approx((logit[0], probability[0]), abs=1e-6)


def test_the_file_names_what_it_takes_and_gives(model):
    loaded = session(convert_onnx(model, SAME))
    (taken,) = loaded.get_inputs()
    assert (taken.name, taken.type) == ("pixels", "tensor(uint8)")
    assert taken.shape == ["batch", SIZE, SIZE, 1]
    outputs = {value.name: (value.type, value.shape) for value in loaded.get_outputs()}
    numbers = ("tensor(float)", ["batch"])
    names = ["logit", "probability", "lesion_found"]
    box = {"lesion_box": ("tensor(float)", ["batch", 4])}
    assert outputs == dict.fromkeys(names, numbers) | box


def test_other_pixels_are_an_error(model):
    runner = onnx_runner(convert_onnx(model, SAME), 1)
    for shape, kind in (((1, SIZE + 1, SIZE, 1), "uint8"), ((1, SIZE, SIZE, 1), "f4")):
        with pytest.raises(Exception, match="INVALID_ARGUMENT"):
            runner({"pixels": np.zeros(shape, kind)})


@pytest.mark.parametrize(
    "fusion",
    [
        "concat",
        *(pytest.param(loaded, marks=pytest.mark.slow) for loaded in FUSIONS[1:]),
    ],
)
def test_a_form_goes_in_as_it_stands_beside_the_image(fusion, contents, pixels):
    model = classifier("both", fusion, ENCODING)
    # Of random weights, what is looked at again may hang on rounding.
    model.get_layer("view").second_view = False
    loaded = session(convert_onnx(model, SAME))
    for image, files in ((pixels, contents), (0 * pixels, [b""] * len(FORMS))):
        logit = loaded.run(["logit"], {"pixels": image, **form(FORMS)})[0]
        inputs = {"image_bytes": np.array(files, object), **form(FORMS)}
        np.testing.assert_allclose(logit, logits_of(model, inputs), atol=1e-5)


def test_a_form_alone_will_do_and_what_it_cannot_use_gives_no_number():
    model = classifier("clinical", encoding=ENCODING)
    loaded = session(convert_onnx(model, SAME))
    types = {value.name: value.type for value in loaded.get_inputs()}
    assert types == {
        "age_years": "tensor(float)",
        "bmi_kg_m2": "tensor(float)",
        "shape": "tensor(string)",
        "margin": "tensor(string)",
    }
    logit = loaded.run(["logit"], form([*FORMS, *REFUSED]))[0]
    expected = logits_of(model, form(FORMS))
    np.testing.assert_allclose(logit[: len(FORMS)], expected, atol=1e-5)
    assert all(map(math.isnan, logit[len(FORMS) :]))


def test_packages_that_are_missing_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    expected = r"needs tf2onnx, onnx, onnxruntime, .*: pip install 'usgland\[onnx\]=="
    with pytest.raises(UserError, match=expected) as error:
        check_onnx()
    assert "\n" not in str(error.value)


def test_nothing_is_written_to_the_terminal(model, pixels, capfd):
    onnx_runner(convert_onnx(model, SAME), 2)({"pixels": pixels[:1]})
    assert capfd.readouterr() == ("", "")
