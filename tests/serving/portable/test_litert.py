"""LiteRT files say what the Keras model says, in an interpreter of their own."""

import importlib.util

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
from usgland.models.fusion import FUSIONS
from usgland.serving.portable.litert import check_litert, convert_litert, litert_runner

interpreter = pytest.importorskip(
    "ai_edge_litert.interpreter",
    reason="needs the extra `litert`",
)
pytestmark = pytest.mark.usefixtures("tiny_network")
SAME = {"slope": 1.0, "intercept": 0.0}


@pytest.fixture(scope="module")
def expected(model, contents):
    logits = logits_of(model, contents)
    assert np.ptp(logits) > 2  # or any constant would pass
    return logits


@pytest.fixture(scope="module")
def files(model, pixels):
    return convert_litert(
        model, SAME, [{"pixels": picture[None]} for picture in pixels]
    )


@pytest.fixture(scope="module")
def rounded(model, contents, pixels):
    """Files and logits of one view: of random weights the second hangs on rounding."""
    view = model.get_layer("view")
    view.second_view = False
    try:
        files = convert_litert(
            model, SAME, [{"pixels": picture[None]} for picture in pixels]
        )
        return files, logits_of(model, contents)
    finally:
        view.second_view = True


def run(content, pixels):
    """With the interpreter as its own documentation has it, one image at a time."""
    runner = interpreter.Interpreter(model_content=content).get_signature_runner()
    answers = [runner(pixels=picture[None]) for picture in pixels]
    return {
        name: np.array([answer[name][0] for answer in answers])
        for name in ("logit", "probability")
    }


def test_the_float_file_repeats_the_model(files, pixels, expected):
    received = run(files["fp32.tflite"], pixels)
    np.testing.assert_allclose(received["logit"], expected, atol=1e-4)
    np.testing.assert_allclose(
        received["probability"], 1 / (1 + np.exp(-expected)), atol=1e-5
    )


@pytest.mark.parametrize("name", ["dynamic.tflite", "int8.tflite"])
def test_rounded_files_come_near(rounded, pixels, name):
    files, expected = rounded
    received = run(files[name], pixels)
    difference = np.abs(received["logit"] - expected).max()
    assert 0 < difference < 0.1 * np.ptp(expected)
    assert received["probability"].dtype == np.float32


def test_feature_maps_of_int8_are_bytes(files):
    def kinds(name):
        loaded = interpreter.Interpreter(model_content=files[name])
        loaded.allocate_tensors()
        details = loaded.get_tensor_details()
        return {d["dtype"] for d in details if len(d["shape"]) == 4}

    assert np.int8 in kinds("int8.tflite")
    assert np.int8 not in kinds("fp32.tflite")


def test_the_last_layer_of_int8_is_not_rounded(model, pixels, files):
    cases = [{"pixels": picture[None]} for picture in pixels]
    turned = convert_litert(model, {"slope": 0.5, "intercept": -7.0}, cases)
    plain, calibrated = (
        run(contents["int8.tflite"], pixels) for contents in (files, turned)
    )
    np.testing.assert_allclose(calibrated["logit"], plain["logit"] / 2 - 7, atol=1e-5)
    for logits in (plain, calibrated):
        np.testing.assert_allclose(
            logits["probability"], 1 / (1 + np.exp(-logits["logit"])), atol=1e-6
        )


def test_every_file_takes_the_same_bytes(files):
    assert list(files) == ["fp32.tflite", "dynamic.tflite", "int8.tflite"]
    for content in files.values():
        loaded = interpreter.Interpreter(model_content=content)
        (detail,) = loaded.get_input_details()
        assert detail["dtype"] == np.uint8
        assert detail["shape"].tolist() == [1, SIZE, SIZE, 1]
        signature = loaded.get_signature_list()["serving_default"]
        outputs = ["lesion_box", "lesion_found", "logit", "probability"]
        assert signature == {"inputs": ["pixels"], "outputs": outputs}


def test_int8_learns_its_ranges_from_the_cases_that_it_is_given(model, files, pixels):
    dark = [{"pixels": picture[None] // 8} for picture in pixels]
    other = convert_litert(model, SAME, dark)
    assert other["fp32.tflite"] == files["fp32.tflite"]
    assert other["int8.tflite"] != files["int8.tflite"]
    again = convert_litert(
        model, SAME, [{"pixels": picture[None]} for picture in pixels]
    )
    # Threads add up in no fixed order: a range may differ in its last digit.
    assert len(again["int8.tflite"]) == len(files["int8.tflite"])
    first, second = (
        np.frombuffer(made["int8.tflite"], np.uint8) for made in (files, again)
    )
    assert (first != second).mean() < 0.01


def test_the_logit_is_calibrated(model, pixels, expected):
    files = convert_litert(model, {"slope": 0.5, "intercept": -1.0}, [])
    assert list(files) == ["fp32.tflite", "dynamic.tflite"]
    received = run(files["fp32.tflite"], pixels)
    np.testing.assert_allclose(received["logit"], 0.5 * expected - 1, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, SIZE + 1, SIZE, 1), (2, SIZE, SIZE, 1)])
def test_pixels_of_another_shape_are_an_error(files, shape):
    for content in files.values():
        runner = litert_runner(content, 1)
        with pytest.raises((RuntimeError, ValueError)):
            runner({"pixels": np.zeros(shape, "uint8")})


def test_a_picture_scaled_to_one_is_an_error(files):
    with pytest.raises(ValueError, match="Got value of type FLOAT32 but expected"):
        litert_runner(files["int8.tflite"], 1)(
            {"pixels": np.zeros((1, SIZE, SIZE, 1), "float32")}
        )


def cases_of(values, pixels=None):
    inputs = form(values)
    if pixels is not None:
        inputs = {"pixels": pixels, **inputs}
    return [{k: v[[i]] for k, v in inputs.items()} for i in range(len(values))]


@pytest.mark.parametrize(
    "fusion",
    [
        "concat",
        *(pytest.param(fusion, marks=pytest.mark.slow) for fusion in FUSIONS[1:]),
    ],
)
def test_a_form_goes_in_as_it_stands_beside_the_image(fusion, contents, pixels):
    model = classifier("both", fusion, ENCODING)
    runner = litert_runner(convert_litert(model, SAME, [])["fp32.tflite"], 1)
    expected = logits_of(model, {"image_bytes": contents, **form(FORMS)})
    received = [runner(case)[0] for case in cases_of(FORMS, pixels)]
    np.testing.assert_allclose(received, expected, atol=1e-5)
    nothing = np.array([b""] * len(FORMS), object)
    expected = logits_of(model, {"image_bytes": nothing, **form(FORMS)})
    received = [runner(case)[0] for case in cases_of(FORMS, 0 * pixels)]
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_a_form_alone_will_do_and_what_it_cannot_use_gives_no_number():
    model = classifier("clinical", encoding=ENCODING)
    for content in convert_litert(model, SAME, []).values():
        runner = litert_runner(content, 1)
        received = [runner(case)[0] for case in cases_of(FORMS)]
        np.testing.assert_allclose(received, logits_of(model, form(FORMS)), atol=1e-3)
        refused = [runner(case) for case in cases_of(REFUSED)]
        assert np.isnan(refused).all()


def test_the_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    expected = r"--format litert needs ai-edge-litert, .*install 'usgland\[litert\]=="
    with pytest.raises(UserError, match=expected) as error:
        check_litert()
    assert "\n" not in str(error.value)


def test_nothing_is_written_to_the_terminal(model, pixels, capfd):
    files = convert_litert(model, SAME, [{"pixels": pixels[:1]}])
    litert_runner(files["int8.tflite"], 2)({"pixels": pixels[:1]})
    assert capfd.readouterr() == ("", "")
