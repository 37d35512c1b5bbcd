"""Image and form joined by an offset, end to end, on a network of one convolution.

The forms tell the labels but for some patients; the images are noise.
"""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.commands import call, read_csv, refusal, write_csv
from usgland.config import load_config
from usgland.data.sources import manifest_rows
from usgland.data.splits import make_splits, splits_table
from usgland.models.classifier import LOGIT, build_classifier
from usgland.steps import offset_fusion
from usgland.steps.models import load_model
from usgland.training.fit import prepare_run
from usgland.training.logistic import fit_form_regression

pytestmark = pytest.mark.usefixtures("tiny_network")
SETTINGS = """
preprocessing: {image_size: 64}
model: {weights: null, fusion: offset, lesion_head: false}
train: {epochs: 1, batch_size: 8, warmup_epochs: 0, ema_momentum: null}
evaluation: {bootstrap_resamples: 20}
clinical:
  companions: false
  columns:
    age: {kind: number, role: demographic, unit: years, low: 18, high: 99}
    halo: {kind: yes_no, role: image_read}
"""
COLUMNS = ("image", "patient_id", "label", "age", "halo")


def make_manifest(folder, seed, patients=36):
    folder.mkdir()
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        label = number % 2
        grey = rng.rayleigh(60, (64, 64)).clip(0, 255).astype("uint8")
        Image.fromarray(grey).save(folder / f"{number}.png")
        age = int(rng.integers(30, 60) + 15 * label)
        word = ("benign", "malignant")[label]
        halo = ("no", "yes")[rng.integers(2)]
        values = (f"{number}.png", f"P{seed}-{number}", word, age, halo)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return write_csv(folder / "manifest.csv", rows)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "settings.yaml").write_text(SETTINGS)
    make_manifest(folder / "data", 0)
    make_manifest(folder / "other", 1, patients=16)
    return folder


def options(home, name, data="data"):
    return (
        *("--config", home / "settings.yaml", "--runs-dir", home / "runs"),
        *("--name", name, "--manifest", home / data / "manifest.csv"),
    )


def logits(run, home, without=None):
    """The network's own logit of each patient, by `predict` on the images it knows."""
    suffix = f"-without_{without}" if without else ""
    path = run / f"predictions-data{suffix}.csv"
    if not path.exists():
        manifest = home / "data" / "manifest.csv"
        arguments = ("--without", without) if without else ()
        call("predict", run, "--manifest", manifest, *arguments)
    rows = read_csv(path)
    return np.array([float(row["model_logit"] or row["logit"]) for row in rows])


def logistic(run):
    """What the logistic regression of a run's training patients says of all rows."""
    config = load_config(run / "config.yaml")
    rows = manifest_rows(config, None)
    role = {row["image"]: row["role"] for row in read_csv(run / "splits.csv")}
    train = rows[rows["image"].map(role) == "train"]
    return fit_form_regression(train, config.clinical).logits(rows)


@pytest.mark.slow
def test_an_image_that_says_nothing_leaves_the_logistic_regression(home):
    stdout = call("fit", "--multimodal", *options(home, "noise"))
    assert "three times the time of one" in stdout
    assert stdout.count("Inner fold") == 3
    run = home / "runs" / "noise"
    assert json.loads((run / "offset.json").read_text())["weight"] == 0
    assert "its weight is 0" in stdout
    assert not (run / "checkpoint").exists() and (run / "history.csv").exists()
    np.testing.assert_allclose(logits(run, home), logistic(run), atol=1e-4)
    assert np.ptp(logits(run, home, "form")) > 0


@pytest.fixture
def earlier(home):
    """A run of images alone that has learned from others; its weights are drawn."""
    run = home / "runs" / "earlier"
    if run.exists():
        return run
    config = load_config(home / "settings.yaml", ["model.inputs=image"])
    config = config.model_copy(
        update={
            "data": config.data.model_copy(update={"manifest": other_manifest(home)})
        }
    )
    rows = make_splits(manifest_rows(config, None), config.split)
    prepare_run(run, config, splits_table(rows))
    model = build_classifier(config)
    rng = np.random.default_rng(3)
    kernel, bias = model.get_layer(LOGIT).get_weights()
    model.get_layer(LOGIT).set_weights([rng.normal(0, 1, kernel.shape), bias + 0.3])
    model.save(run / "model.keras")
    (run / "environment.json").write_text('{"synthetic": false, "epochs": 1}')
    return run


def other_manifest(home):
    return home / "other" / "manifest.csv"


def as_it_is(earlier, *more):
    settings = (f"model.weights={earlier}", "train.freeze_image=true", *more)
    return [word for setting in settings for word in ("--set", setting)]


def test_what_an_earlier_run_says_is_weighed_and_nothing_is_trained(
    home, earlier, monkeypatch
):
    rng = np.random.default_rng(5)
    real, asked = offset_fusion.predict_rows, []

    def telling(model, rows):
        asked.append(rows)
        told = rows["label"] * 3 + rng.normal(0, 1, len(rows))
        return real(model, rows).assign(logit=told.to_numpy())

    monkeypatch.setattr(offset_fusion, "predict_rows", telling)
    monkeypatch.setattr(offset_fusion, "fit_run", None)
    stdout = call(
        *("fit", "--multimodal", *options(home, "told"), *as_it_is(earlier)),
    )
    run = home / "runs" / "told"
    assert "has the weight" in stdout
    assert set(asked[0]["role"]) == {"train"}
    record = json.loads((run / "offset.json").read_text())
    assert 0.1 < record["weight"] <= 1
    image, form = (logits(run, home, side) for side in ("form", "image"))
    np.testing.assert_allclose(form, logistic(run), atol=1e-4)
    added = record["weight"] * (image - record["mean"]) / record["deviation"]
    np.testing.assert_allclose(logits(run, home), form + added, atol=1e-4)
    rows = manifest_rows(load_config(run / "config.yaml"), None).assign(role="test")
    expected = real(load_model(earlier), rows)["logit"]
    np.testing.assert_allclose(image, expected, atol=1e-5)


@pytest.mark.slow
def test_a_saved_model_adds_as_the_run_does(home, earlier, tmp_path):
    call("fit", "--multimodal", *options(home, "served"), *as_it_is(earlier))
    run = home / "runs" / "served"
    model = load_model(run)
    model.get_layer(LOGIT).set_weights([np.array(v) for v in (0.4, 0.1, 1.5)])
    model.save(run / "model.keras")
    plain = {"method": "none", "slope": 1.0, "intercept": 0.0}
    (run / "calibration.json").write_text(json.dumps(plain))
    call("export", run, "--models-dir", tmp_path, "--name", "served")
    signatures = tf.saved_model.load(str(tmp_path / "served" / "1")).signatures
    rows = read_csv(home / "data" / "manifest.csv")
    files = [(home / "data" / row["image"]).read_bytes() for row in rows]
    ages = [float(row["age"]) for row in rows]
    halos = [row["halo"] for row in rows]

    def ask(images, ages, halos):
        inputs = {"image_bytes": images, "age": ages, "halo": halos}
        inputs = {name: tf.constant(values) for name, values in inputs.items()}
        return signatures["serving_default"](**inputs)["logit"].numpy()

    none = len(rows)
    image = ask(files, [np.nan] * none, [""] * none)
    form = ask([b""] * none, ages, halos)
    np.testing.assert_allclose(form, logistic(run), atol=1e-4)
    both = form + 0.4 * (image - 0.1) / 1.5
    np.testing.assert_allclose(ask(files, ages, halos), both, atol=1e-4)


def test_a_run_that_has_learned_from_an_image_gives_no_logit_of_it(home, earlier):
    line = refusal(
        "fit",
        "--multimodal",
        *options(home, "seen", "other"),
        *as_it_is(earlier, "split.test_fraction=0"),
    )
    assert "expected images that" in line and "has not learned from" in line


def test_networks_that_begin_with_what_knows_an_image_give_no_logit_of_it(
    home, earlier, tmp_path
):
    role = {row["image"]: row["role"] for row in read_csv(earlier / "splits.csv")}
    known = [r for r in read_csv(other_manifest(home)) if role[r["image"]] == "train"]
    rows = [row | {"split": "train", "of": "other"} for row in known]
    for number, row in enumerate(read_csv(home / "data" / "manifest.csv")[:8]):
        rows.append(row | {"split": ("val", "test")[number // 4], "of": "data"})
    for row in rows:
        row["image"] = str(home / row.pop("of") / row["image"])
    manifest = write_csv(tmp_path / "manifest.csv", rows)
    line = refusal(
        *("fit", "--multimodal", "--config", home / "settings.yaml"),
        *("--runs-dir", tmp_path, "--name", "begun", "--manifest", manifest),
        *("--set", f"model.weights={earlier}"),
    )
    assert f"Received {len(known)} that are in its train or val part" in line
    assert not (tmp_path / "begun").exists()


def test_a_run_that_looks_otherwise_is_refused(home, earlier):
    line = refusal(
        "fit",
        "--multimodal",
        *options(home, "otherwise"),
        *as_it_is(earlier, "model.mirror=true"),
    )
    assert "model.weights: expected a run with model.mirror: True" in line
    assert f"Received: False in {earlier}" in line


def test_too_few_patients_for_inner_folds_are_refused(home, tmp_path):
    path = write_csv(tmp_path / "few.csv", read_csv(other_manifest(home))[:6])
    for row in range(6):
        source = home / "other" / f"{row}.png"
        (tmp_path / source.name).write_bytes(source.read_bytes())
    line = refusal(
        *("fit", "--multimodal", "--config", home / "settings.yaml"),
        *("--runs-dir", tmp_path, "--name", "few", "--manifest", path),
        *("--set", "split.test_fraction=0", "--set", "split.val_fraction=0.34"),
    )
    assert "benign and malignant training patients for each of 3 inner folds" in line


@pytest.mark.parametrize("filled", [1, 3])
def test_few_forms_are_refused_in_one_line_or_weighed(home, tmp_path, earlier, filled):
    rows = read_csv(home / "data" / "manifest.csv")
    for number, row in enumerate(rows):
        row["image"] = str(home / "data" / row["image"])
        row["split"] = ("train", "train", "val", "test")[number // 2 % 4]
        if number >= filled:
            row["age"] = row["halo"] = ""
    arguments = (
        *("fit", "--multimodal", "--config", home / "settings.yaml"),
        *("--runs-dir", tmp_path, "--name", "few"),
        *("--manifest", write_csv(tmp_path / "manifest.csv", rows)),
        *as_it_is(earlier),
    )
    if filled == 3:
        assert "weight" in call(*arguments)
        return
    line = refusal(*arguments)
    assert "expected training patients with a form in two of 3 inner folds" in line
