"""`usgland explain` from end to end, on a network of one convolution."""

import csv
import hashlib

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from tests.commands import call, fail, refusal
from tests.explanation.networks import SIZE, classifier
from usgland.config import dump_config, load_config
from usgland.errors import UserError
from usgland.explanation import shortcuts
from usgland.explanation.pictures import Case, case_plot
from usgland.explanation.sheets import sheet_plot, sort_cases
from usgland.explanation.subject import (
    choose_cases,
    picture_names,
    value_in_words,
    worst_first,
)

pytestmark = pytest.mark.usefixtures("tiny_network")
COARSE = 50  # dots an inch, not 300


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Writing pictures takes longest; here they may have few pixels."""
    monkeypatch.setattr("usgland.evaluation.shown.plot_frame.DPI", COARSE)


def write_images(folder, *, mask_size=None, seed=0):
    """Twelve patients with an image and a mask each, 8 of them in the test part."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(12):
        grey = rng.integers(60, 120, (60, 80)).astype("uint8")
        mask = np.zeros((60, 80), "uint8")
        cv2.ellipse(mask, (40, 30), (14, 10), 0, 0, 360, 255, -1)
        grey[mask > 0] = 20 if number % 2 else 200
        cv2.imwrite(str(folder / f"case{number}.png"), grey)
        shape = mask_size or (80, 60)
        cv2.imwrite(str(folder / f"mask{number}.png"), cv2.resize(mask, shape))
        label = ("benign", "malignant")[number % 2]
        part = "train" if number < 2 else "val" if number < 4 else "test"
        age = str(30 + number)
        rows.append(
            (
                f"case{number}.png",
                f"mask{number}.png",
                f"P{seed}{number}",
                label,
                part,
                age,
            )
        )
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "mask", "patient_id", "label", "age_years"))
        writer.writerows(row[:4] + row[5:] for row in rows)
    return pd.DataFrame(
        rows, columns=["image", "mask", "patient_id", "label", "role", "age_years"]
    )


def make_run(folder, inputs="image", **options):
    """A run directory as `usgland fit` leaves it, with random weights."""
    rows = write_images(folder, **options)
    run = folder / "run"
    run.mkdir()
    config = load_config(
        None,
        [
            f"data.manifest={folder / 'manifest.csv'}",
            f"preprocessing.image_size={SIZE}",
            f"model.inputs={inputs}",
            "model.weights=null",
            "evaluation.bootstrap_resamples=50",
            "clinical.companions=false",
            "clinical.leave_out=[gender, bmi_kg_m2, smoking, drinking, location, "
            "distribution, shape, capsule, regularity, margin, density, "
            "cystic_degeneration, calcification]",
        ],
    )
    (run / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    classifier(inputs).save(run / "model.keras")
    rows["label"] = (rows["label"] == "malignant").astype(int)
    rows = rows.assign(group_id="", fold="")
    rows["sha256"] = [
        hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in rows["image"]
    ]
    columns = ["image", "patient_id", "group_id", "label", "role", "fold", "sha256"]
    rows[columns].to_csv(run / "splits.csv", index=False)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_network):
    keras.utils.set_random_seed(0)
    return make_run(tmp_path_factory.mktemp("explain"))


@pytest.mark.slow
def test_everything_at_once_and_never_twice(run):
    output = call(
        *("explain", run, "--faithfulness", "--shortcuts", "--limit", 1),
        *("--other", run),
    )
    sheets = [
        f"sheet_{order}_gradcam.png" for order in ("class", "confidence", "error")
    ]
    pictures = sorted(path.name for path in (run / "heatmaps").iterdir())
    assert pictures[1:] == sheets
    assert pictures[0].startswith("case")
    assert "Drew 1 of 8 cases" in output
    assert "Without the lesion" in output
    cases = pd.read_csv(run / "tables" / "saliency_cases.csv")
    assert cases.groupby("method").size().to_dict() == {
        "gradcam": 8,
        "centre": 8,
        "random": 8,
    }
    # The other run is this one.
    own = cases[cases["method"] == "gradcam"]["other_run"].dropna()
    np.testing.assert_allclose(own, 1, atol=1e-6)
    first = (run / "tables" / "shortcuts.md").read_text("utf-8").splitlines()[0]
    assert first.startswith("Without the lesion")
    assert (run / "figures" / "saliency.png").exists()
    assert "no earlier pictures and tables" in refusal("explain", run)
    # Single cases leave the sheets alone; drawn once, they are not drawn again.
    call("explain", run, "--cases", "P05", "--cases", "case6", "--label", "benign")
    assert (run / "heatmaps" / "case5_gradcam_benign.png").exists()
    assert (run / "heatmaps" / "case6_gradcam_benign.png").exists()
    line = refusal("explain", run, "--cases", "case5.png", "--label", "benign")
    assert "case5_gradcam_benign.png, which exists" in line


def test_every_image_is_decoded_once(tmp_path, monkeypatch):
    whole = make_run(tmp_path)
    decode, decoded = tf.io.decode_png, []

    def note(image_bytes):
        decoded.append(hashlib.sha256(image_bytes).hexdigest())
        return image_bytes

    def decode_and_note(image_bytes, **options):
        noted = tf.numpy_function(note, [image_bytes], tf.string)
        return decode(tf.ensure_shape(noted, ()), **options)

    monkeypatch.setattr(tf.io, "decode_png", decode_and_note)
    call("explain", whole, "--limit", 1, "--faithfulness")
    rows = pd.read_csv(whole / "splits.csv")
    tested = rows.loc[rows["role"] == "test", "sha256"]
    assert sorted(decoded) == sorted(tested)


def test_the_probes_ask_without_the_form(tmp_path, monkeypatch):
    both = make_run(tmp_path, "both")
    asked = []
    real = shortcuts.predict_inputs

    def ask(network, inputs):
        asked.append(inputs)
        return real(network, inputs)

    monkeypatch.setattr(shortcuts, "predict_inputs", ask)
    output = call("explain", both, "--limit", 0, "--shortcuts")
    assert "The form is withheld" in output
    assert len(asked) == len(shortcuts.NAMES)
    for _, _, image_given, form_given in asked:
        assert image_given.min() == 1
        assert form_given.max() == 0


def test_a_form_is_drawn_beside_the_image(tmp_path):
    both = make_run(tmp_path, "both")
    output = call("explain", both, "--limit", 1, "--colours", "cividis")
    assert "exact Shapley values, 2 coalitions of 1 columns" in output
    table = pd.read_csv(both / "tables" / "contributions.csv")
    assert list(table) == ["image", "patient_id", "label", "age_years"]
    assert len(table) == 1
    (path,) = (both / "heatmaps").glob("case*_gradcam.png")
    with Image.open(path) as picture:
        assert picture.width > 4 * 480 * COARSE / 300


def test_images_of_another_source_have_a_folder_of_their_own(run, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    write_images(folder, seed=1)
    call("explain", run, "--manifest", folder / "manifest.csv", "--limit", 0)
    written = sorted(
        path.name for path in (run / "explain-elsewhere").rglob("*") if path.is_file()
    )
    assert written == [
        f"sheet_{order}_gradcam.png" for order in ("class", "confidence", "error")
    ]


def test_mistakes_are_one_line_each(run, tmp_path):
    line = refusal("explain", run, "--cases", "case99")
    assert "--cases: expected an image or patient of role test" in line
    assert line.endswith("Received: 'case99'")
    line = refusal("explain", run, "--cases", "case1", "--faithfulness")
    assert "expected all cases of a role" in line
    assert "expected --faithfulness beside it" in refusal(
        "explain", run, "--other", run
    )
    assert "expected a run directory" in refusal("explain", tmp_path / "no").lower()
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("config.yaml", "model.keras"):
        (folder / name).write_bytes((run / name).read_bytes())
    (folder / "folds").mkdir()
    assert "expected a run with one model" in refusal("explain", folder).lower()


def test_a_role_without_images_is_one_line(tmp_path):
    rows = pd.DataFrame({"role": ["train", "train", "val"], "image": list("abc")})
    expected = r"has images in .*: train \(2\), val \(1\). Received: test"
    with pytest.raises(UserError, match=expected):
        choose_cases(rows, (), "test", tmp_path)


def test_a_mask_of_another_size_is_one_line_a_row(tmp_path):
    run = make_run(tmp_path, mask_size=(40, 30))
    heading, *lines = fail("explain", run)
    assert "manifest.csv" in heading
    for line in lines:
        assert "expected the size of its image, 80x60 pixels. Received: 40x30" in line
    assert not (run / "heatmaps").exists()


def test_a_run_of_the_form_alone_is_one_line(tmp_path):
    run = make_run(tmp_path, "clinical")
    assert "has no convolution" in refusal("explain", run)


def test_files_are_named_after_images_with_folders_where_they_must():
    assert picture_names(pd.Series(["a/x.png", "b/y.png"])) == ["x", "y"]
    assert picture_names(pd.Series(["a/x.png", "b/x.png"])) == ["a_x", "b_x"]
    assert picture_names(pd.Series(["a\\x.png", "b/x.jpg"])) == ["a_x", "b_x"]
    assert picture_names(pd.Series(["x.png", "x.jpg", "y.png"])) == ["x", "x_2", "y"]


def test_the_greatest_errors_come_first_and_unknown_labels_last():
    rows = pd.DataFrame(
        {"label": [0, -1, 1, 1], "probability": [0.3, 0.99, 0.9, 0.2]},
    )
    assert worst_first(rows) == [3, 0, 2, 1]


def a_case(image="a.png", label=1, probability=0.7, **options):
    values = np.zeros((40, 60), "float32")
    values[10:20, 20:30] = 1
    grey = np.full((40, 60), 90, "uint8")
    mask = np.zeros((40, 60), bool)
    mask[5:25, 15:35] = True
    fields = {"mask": mask, "synthetic": False} | options
    return Case(image, label, probability, grey, values, **fields)


def test_sheets_are_sorted_by_error_confidence_and_class():
    cases = [
        a_case("a", 1, 0.9),
        a_case("b", 0, 0.8),
        a_case("c", 1, 0.45),
        a_case("d", -1, 0.99),
    ]
    names = {
        order: [case.image for case in sort_cases(cases, order)]
        for order in ("error", "confidence", "class")
    }
    assert names == {
        "error": list("bca"),
        "confidence": list("dabc"),
        "class": list("bca"),
    }


@pytest.mark.parametrize("synthetic", [False, True])
def test_a_picture_keeps_the_pixels_of_its_image_and_has_a_legend(synthetic, tmp_path):
    case = a_case(synthetic=synthetic)
    plot = case_plot(case, method="gradcam", label="malignant", colours="paper")
    path = tmp_path / "picture.png"
    plot.savefig(path, dpi=300)
    width, height = plot.get_size_inches() * 300
    for axes in plot.axes[:3]:
        box = axes.get_position()
        # Enlarged by 8: the smallest whole number that makes 480 pixels.
        np.testing.assert_allclose(box.width * width, 480, atol=1)
        np.testing.assert_allclose(box.height * height, 320, atol=1)
    texts = [text.get_text() for text in plot.legends[0].get_texts()]
    assert texts == ["map at 0.5", "lesion mask"]
    marked = [text.get_text() for text in plot.texts]
    assert ("SYNTHETIC DATA" in marked) is synthetic
    with Image.open(path) as picture:
        shown = np.asarray(picture.convert("RGB")).astype(int)
    # Red where the map is high, blue where it is nothing.
    panel = plot.axes[2].get_position()
    left, top = panel.x0 * width, (1 - panel.y1) * height
    red = shown[int(top + 8 * 15), int(left + 8 * 22)]
    blue = shown[int(top + 8 * 37), int(left + 8 * 2)]
    assert red[0] > 100 > red[2]
    assert blue[2] > 100 > blue[0]


def test_the_lesion_that_was_found_is_drawn_where_it_is_and_named():
    lesion = {"lesion": [20.0, 10.0, 16.0, 8.0], "lesion_found": 0.93}
    shown = {"method": "gradcam", "label": "malignant", "colours": "paper"}
    plot = case_plot(a_case(**lesion), **shown)
    for axes in plot.axes[:2]:
        (ellipse,) = axes.patches
        # Pixels 20 to 35 and 10 to 17, whose edges are half a pixel off.
        assert ellipse.get_center() == (27.5, 13.5)
        assert (ellipse.get_width(), ellipse.get_height()) == (16, 8)
    assert not plot.axes[2].patches
    texts = [text.get_text() for text in plot.legends[0].get_texts()]
    assert texts == ["map at 0.5", "lesion mask", "lesion the model found"]
    title = "\n".join(text.get_text() for text in plot.texts)
    assert "; a lesion found, 93% sure of one" in title
    sheet = sheet_plot([a_case(**lesion)], order="error", **shown)
    (ellipse,) = sheet.axes[0].patches
    scale = 420 / 60
    assert ellipse.get_width() == pytest.approx(16 * scale)
    none = case_plot(a_case(lesion_found=0.2), **shown)
    assert not none.axes[0].patches
    assert "; no lesion found, 20% sure of one" in none.texts[0].get_text()


def test_the_names_of_the_bars_stay_clear_of_the_map():
    long = "margin of the lesion: not circumscribed, microlobulated"
    case = a_case(contributions={"age: 57 years": 0.2, long: -0.1})
    plot = case_plot(case, method="gradcam", label="malignant", colours="paper")
    plot.canvas.draw()
    *_, map_alone, bars = plot.axes[:4]
    names = [label.get_window_extent() for label in bars.get_yticklabels()]
    assert min(name.x0 for name in names) > map_alone.get_window_extent().x1
    assert bars.get_window_extent().x1 < plot.get_window_extent().x1


def test_values_are_shown_in_words():
    columns = load_config(None, []).clinical.columns
    age, margin = columns["age_years"], columns["margin"]
    assert value_in_words("age_years", 57.0, age) == "age: 57 years"
    assert value_in_words("age_years", float("nan"), age) == "age: not known"
    assert value_in_words("margin", "", margin) == "margin: not known"
    assert value_in_words("margin", "clear", margin) == "margin: clear"
