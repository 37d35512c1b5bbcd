"""Every signature of an export, against the run's own predictions and maps."""

import io
import math

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.explanation.networks import ENCODING, SIZE, WORDS, classifier
from usgland.explanation.contributions import make_contributions
from usgland.explanation.explained import make_explained
from usgland.explanation.letterbox import letterbox_of, to_original
from usgland.explanation.maps import make_maps
from usgland.serving.export.answer_network import Decision
from usgland.serving.export.saved_model import export_model
from usgland.training.parts import Form, Part
from usgland.training.predict import answer_inputs

pytestmark = pytest.mark.usefixtures("tiny_network")

SHAPES = ((50, 80), (90, 40), (64, 64), (30, 31))
DECISION = Decision(0.5, 0.25, 0.5)
FORM = {
    "age_years": [30.0, math.nan, 71.5, 50.0],
    "margin": ["clear", "Well  Defined", "", "unclear"],
}

WITH_IMAGE = pytest.mark.parametrize("case", ["image", "both"], indirect=True)
WITH_FORM = pytest.mark.parametrize("case", ["both", "clinical"], indirect=True)
OF_BOTH = pytest.mark.parametrize("case", ["both"], indirect=True)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(5)
    return [
        cv2.GaussianBlur(rng.integers(0, 256, shape, np.uint8), (0, 0), 3)
        for shape in SHAPES
    ]


@pytest.fixture(scope="module", params=["image", "both", "clinical"])
def case(request, pictures, tmp_path_factory, tiny_network):
    """A model, its exported signatures, and what they are asked."""
    inputs = request.param
    model = classifier(inputs, encoding=[*ENCODING, WORDS])
    batch = {}
    if inputs != "clinical":
        batch["image_bytes"] = [png(picture) for picture in pictures]
    if inputs != "image":
        batch |= FORM
    folder = tmp_path_factory.mktemp(inputs) / "mine"
    path = export_model(model, folder, batch, DECISION, {})
    signatures = tf.saved_model.load(str(path)).signatures
    return inputs, model, signatures, {k: tf.constant(v) for k, v in batch.items()}


def part_of(model, batch):
    """What the layers of the model make of the inputs."""
    pixels, form = None, None
    if "image_bytes" in batch:
        pixels = model.get_layer("preprocessing")(batch["image_bytes"]).numpy()
    if "margin" in batch:
        layer = model.get_layer("clinical_encoding")
        features, is_given = layer([batch["age_years"], batch["margin"]])
        form = Form(
            features.numpy(),
            is_given.numpy(),
            layer.missing_features(),
            layer.feature_columns(),
        )
    return Part(pixels, np.zeros(len(SHAPES)), form)


def logits(model, part, without=None):
    logit = answer_inputs(model, part.inputs(without)).logit[:, 0]
    return DECISION.slope * logit.astype("float64") + DECISION.intercept


def check(answer, expected):
    np.testing.assert_allclose(answer["logit"], expected, rtol=1e-4, atol=1e-5)
    probability = 1 / (1 + np.exp(-expected))
    np.testing.assert_allclose(answer["probability"], probability, atol=1e-5)
    words = [b"malignant" if value >= 0.5 else b"benign" for value in probability]
    assert answer["label"].numpy().tolist() == words
    assert answer["model_version"].numpy().tolist() == [b"mine/1"] * len(expected)


def test_there_are_the_signatures_that_fit_the_model(case):
    inputs, _, signatures, _ = case
    names = {"serving_default", "explain"}
    assert set(signatures) == (
        names if inputs == "clinical" else names | {"image_only", "from_pixels"}
    )


def test_the_default_signature_gives_the_calibrated_answer(case):
    _, model, signatures, batch = case
    check(signatures["serving_default"](**batch), logits(model, part_of(model, batch)))


@WITH_IMAGE
def test_the_image_alone_is_the_case_with_an_empty_form(case):
    inputs, model, signatures, batch = case
    answer = signatures["image_only"](image_bytes=batch["image_bytes"])
    without = "form" if inputs == "both" else None
    check(answer, logits(model, part_of(model, batch), without))


@WITH_IMAGE
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_give_the_answer_of_their_file(case, pictures, channels):
    _, model, signatures, batch = case
    expected = logits(model, part_of(model, batch))
    for number, picture in enumerate(pictures):
        pixels = np.repeat(picture[None, ..., None], channels, axis=3)
        form = {
            name: values[number : number + 1]
            for name, values in batch.items()
            if name != "image_bytes"
        }
        answer = signatures["from_pixels"](pixels=tf.constant(pixels), **form)
        check(answer, expected[number : number + 1])


def test_the_heat_map_is_that_of_explain_at_the_size_of_the_image(case, pictures):
    inputs, model, signatures, batch = case
    answer = signatures["explain"](**batch)
    part = part_of(model, batch)
    check(answer, logits(model, part))
    if inputs == "clinical":
        assert "heatmap_bytes" not in answer
        return
    maps = make_maps(
        make_explained(model), part.inputs(), method="gradcam", label="malignant"
    )
    for picture, heatmap, content in zip(
        pictures, maps, answer["heatmap_bytes"].numpy(), strict=True
    ):
        with Image.open(io.BytesIO(content)) as image:
            assert image.format == "PNG"
            assert image.mode == "L"
            received = np.asarray(image).astype(float)
        expected = to_original(heatmap, letterbox_of(*picture.shape, SIZE))
        assert received.shape == picture.shape
        assert expected.max() > 0.5
        np.testing.assert_allclose(received, 255 * expected, atol=1.01)


def test_contributions_are_those_of_explain_in_the_served_logit(case):
    inputs, model, signatures, batch = case
    answer = signatures["explain"](**batch)
    names = [name for name in answer if name.startswith("contribution_")]
    if inputs == "image":
        assert names == []
        return
    contributions = make_contributions(model, part_of(model, batch))
    assert sorted(names) == [
        f"contribution_{name}" for name in sorted(contributions.columns)
    ]
    for column, values in zip(
        contributions.columns, contributions.values.T, strict=True
    ):
        np.testing.assert_allclose(
            answer[f"contribution_{column}"], 0.5 * values, rtol=1e-4, atol=1e-5
        )


@OF_BOTH
def test_a_case_without_an_image_has_no_heat_map(case):
    _, _, signatures, batch = case
    without = {
        **batch,
        "image_bytes": tf.constant(["", *batch["image_bytes"][1:].numpy()]),
    }
    answer = signatures["explain"](**without)
    complete = signatures["explain"](**batch)
    maps = answer["heatmap_bytes"].numpy()
    assert maps[0] == b""
    assert maps[1:].tolist() == complete["heatmap_bytes"].numpy()[1:].tolist()


@OF_BOTH
def test_a_case_of_which_nothing_is_known_is_invalid(case):
    _, _, signatures, batch = case
    nothing = {
        name: tf.fill([1], math.nan)
        if values.dtype == tf.float32
        else tf.constant([""])
        for name, values in batch.items()
    }
    for name in ("serving_default", "explain"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Received neither"):
            signatures[name](**nothing)


@WITH_FORM
def test_one_value_does_not_stand_for_every_patient_of_a_batch(case, pictures):
    inputs, _, signatures, batch = case
    message = "Expected a value of age_years for each case"
    wrong = {**batch, "age_years": tf.constant([50.0])}
    for name in ("serving_default", "explain"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            signatures[name](**wrong)
    if inputs == "both":
        pixels = np.repeat(pictures[0][None, ..., None], 3, axis=0)
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            signatures["from_pixels"](
                pixels=tf.constant(pixels),
                age_years=wrong["age_years"],
                margin=tf.constant([""]),
            )


@WITH_IMAGE
def test_pixels_that_are_no_picture_are_invalid(case):
    _, _, signatures, batch = case
    form = {name: values[:1] for name, values in batch.items() if name != "image_bytes"}
    for shape in ((1, 0, 5, 1), (1, 5, 5, 2)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Expected"):
            signatures["from_pixels"](pixels=tf.zeros(shape, tf.uint8), **form)


@WITH_IMAGE
def test_an_image_alone_that_is_empty_is_invalid(case):
    _, _, signatures, batch = case
    images = tf.constant([*batch["image_bytes"][:1].numpy(), ""])
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected"):
        signatures["image_only"](image_bytes=images)


def test_no_request_decodes_more_than_two_images_at_one_time(case):
    for signature in case[2].values():
        graph = signature.graph.as_graph_def()
        nodes = [
            *graph.node,
            *(n for function in graph.library.function for n in function.node_def),
        ]
        loops = [n for n in nodes if n.op in ("While", "StatelessWhile")]
        assert all(n.attr["parallel_iterations"].i <= 2 for n in loops)
        assert loops or case[0] == "clinical"


@WITH_IMAGE
def test_the_lesion_is_told_in_pixels_of_the_image(case, pictures):
    _, model, signatures, batch = case
    answered = answer_inputs(model, part_of(model, batch).inputs())
    for name in ("serving_default", "explain"):
        answer = signatures[name](**batch)
        np.testing.assert_allclose(answer["lesion_found"], answered.found, atol=1e-4)
        boxes = answer["lesion_box"].numpy()
        for box, share, shape in zip(boxes, answered.box, SHAPES, strict=True):
            longer = max(shape)
            for start, side in ((0, shape[1]), (1, shape[0])):
                first = share[start] * longer - (longer - side) / 2
                ends = np.clip([first, first + share[start + 2] * longer], 0, side)
                np.testing.assert_allclose(box[start], ends[0], atol=0.01)
                np.testing.assert_allclose(box[start + 2], np.ptp(ends), atol=0.01)
    drawn = [
        np.asarray(Image.open(io.BytesIO(png)))
        for png in answer["lesion_map_bytes"].numpy()
    ]
    assert [picture.shape for picture in drawn] == list(SHAPES)
    surest = [picture.max() / 255 for picture in drawn]
    assert (surest <= answered.found + 0.005).all()
