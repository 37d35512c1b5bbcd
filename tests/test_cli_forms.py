"""Image and clinical form from end to end, on a network of one convolution.

The forms are those of 24 made-up patients: age and one finding go with the label, and
so do the images, each with errors of its own.
"""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image
from rich.console import Console
from tensorflow.core.protobuf import saved_model_pb2

from tests.commands import call, read_csv, refusal, write_csv
from usgland.cli.main import cli
from usgland.config import load_config
from usgland.steps import training
from usgland.steps.companions import NETWORKS, _alone
from usgland.training import fit as fit_module
from usgland.training.automatic import LARGE_BATCH

pytestmark = pytest.mark.usefixtures("tiny_network")
SETTINGS = """
preprocessing: {image_size: 64}
model: {weights: null, clinical_units: 4}
train: {epochs: 2, batch_size: 8, warmup_epochs: 0, ema_momentum: null}
evaluation: {bootstrap_resamples: 20}
clinical:
  columns:
    age: {kind: number, role: demographic, unit: years, low: 18, high: 99}
    density:
      kind: category
      role: image_read
      words: {low: [dark], high: [], mixed: []}
    halo: {kind: yes_no, role: image_read}
"""
COLUMNS = ("image", "patient_id", "label", "age", "density", "halo")


def make_manifest(folder, seed):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(24):
        label = number % 2
        grey = rng.rayleigh(40 + 40 * label, (64, 64)).clip(0, 255).astype("uint8")
        Image.fromarray(grey).save(folder / f"{number}.png")
        age = rng.integers(30, 60) + 20 * label
        density = ("low", "high")[label if number % 5 else 1 - label]
        halo = "" if number % 7 == 0 else ("no", "yes")[rng.integers(2)]
        words = ("benign", "malignant")[label]
        values = (f"{number}.png", f"P{seed}-{number}", words, age, density, halo)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return write_csv(folder / "manifest.csv", rows)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "settings.yaml").write_text(SETTINGS)
    make_manifest(folder / "data", 0)
    make_manifest(folder / "new", 1)
    return folder


def options(home, name, manifest=None):
    settings, runs = home / "settings.yaml", home / "runs"
    manifest = manifest or home / "data" / "manifest.csv"
    return (
        *("--config", settings, "--runs-dir", runs, "--name", name),
        *("--manifest", manifest),
    )


@pytest.fixture(scope="module")
def run(home):
    stdout = call("fit", "--multimodal", *options(home, "both"))
    (home / "stdout.txt").write_text(stdout)
    return home / "runs" / "both"


@pytest.mark.slow
def test_fit_multimodal_is_the_setting_and_trains_each_side_beside_it(run, home):
    config = (run / "config.yaml").read_text()
    assert "inputs: both" in config
    assert sorted(path.name for path in (run / "alone").iterdir()) == [
        "clinical",
        "image",
    ]
    splits = (run / "splits.csv").read_text()
    for beside in ("clinical", "image"):
        assert (run / "alone" / beside / "threshold.json").exists()
        assert (run / "alone" / beside / "splits.csv").read_text() == splits
        assert not (run / "alone" / beside / "predictions.csv").exists()
    assert "Beside it: form alone" in (home / "stdout.txt").read_text()


@pytest.mark.slow
def test_evaluate_says_what_each_side_adds_and_what_the_model_leans_on(run, checked):
    stdout = call("evaluate", run, "--subgroup", "density", "--full")
    assert (len(checked), set(checked.values())) == (24, {1})
    assert "Over the better side, the " in stdout
    for name in (
        "image alone",
        "form alone",
        "form, logistic",
        "demographic, logistic",
    ):
        assert name.split(", ")[0] in stdout
    additions = read_csv(run / "tables" / "additions.csv")
    assert additions[0]["name"] == "image and form"
    names = {row["name"] for row in read_csv(run / "tables" / "importance.csv")}
    assert names >= {"age", "density", "halo", "image", "whole form", "form withheld"}
    assert (run / "alone" / "image" / "metrics.json").exists()


@pytest.mark.slow
def test_one_saved_model_answers_with_both_with_either_and_counts_what_is_missing(
    run, home
):
    new = home / "new" / "manifest.csv"
    rows = read_csv(new)
    rows[0]["density"] = "mixed"  # no training patient had it
    write_csv(new, rows)
    stdout = call("predict", run, "--manifest", new)
    assert "Missing on the form, of 24 rows: halo 4" in stdout
    assert "density: no training patient had 'mixed' in 1 of 24 rows" in stdout
    call("predict", run, "--manifest", new, "--without", "form")
    call("predict", run, "--manifest", new, "--without", "image")
    answers = {
        path.stem: [float(row["logit"]) for row in read_csv(path)]
        for path in run.glob("predictions-new*.csv")
        if "patients" not in path.stem
    }
    assert set(answers) == {
        "predictions-new",
        "predictions-new-without_form",
        "predictions-new-without_image",
    }
    assert len({tuple(values) for values in answers.values()}) == 3


@pytest.mark.slow
def test_without_the_image_none_is_needed(run, home):
    rows = read_csv(home / "new" / "manifest.csv")
    alone = home / "forms_only.csv"
    write_csv(alone, [{k: v for k, v in row.items() if k != "image"} for row in rows])
    call("predict", run, "--manifest", alone, "--without", "image")
    with_image = run / "predictions-new-without_image.csv"
    if not with_image.exists():
        manifest = home / "new" / "manifest.csv"
        call("predict", run, "--manifest", manifest, "--without", "image")
    ours = read_csv(run / "predictions-forms_only-without_image.csv")
    theirs = read_csv(with_image)
    assert [row["logit"] for row in ours] == [row["logit"] for row in theirs]
    assert ours[0]["image"] == ours[0]["patient_id"]


@pytest.mark.slow
def test_without_needs_a_model_of_both(run):
    line = refusal("predict", run / "alone" / "image", "--without", "form")
    assert "expected a run with image and form" in line


@pytest.mark.slow
def test_a_model_of_both_is_exported_with_its_form(run, home):
    call("export", run, "--models-dir", home / "models")
    served = tf.saved_model.load(str(home / "models" / "both" / "1"))
    signature = served.signatures["serving_default"]
    content = (home / "new" / "0.png").read_bytes()
    answer = signature(
        image_bytes=tf.constant([content, b""]),
        age=tf.constant([50.0, float("nan")]),
        density=tf.constant([" Dark ", ""]),
        halo=tf.constant(["", "Y"]),
    )["probability"]
    assert answer.shape == (2,)
    # What TensorFlow Serving puts in where a client leaves an input out.
    saved = saved_model_pb2.SavedModel()
    path = home / "models" / "both" / "1" / "saved_model.pb"
    saved.ParseFromString(path.read_bytes())
    (graph,) = saved.meta_graphs
    defaults = graph.signature_def["serving_default"].defaults
    assert set(defaults) == {"image_bytes", "age", "density", "halo"}
    left_out = signature(
        image_bytes=tf.constant([content, content]),
        age=tf.constant([float("nan")]),  # one value stands for all rows
        density=tf.constant([""]),
        halo=tf.constant([""]),
    )
    assert float(left_out["probability"][0]) == float(left_out["probability"][1])


def test_the_form_alone_is_trained_without_images(home):
    rows = read_csv(home / "data" / "manifest.csv")
    forms = home / "data" / "forms.csv"
    write_csv(forms, [{k: v for k, v in row.items() if k != "image"} for row in rows])
    call("fit", *options(home, "form", forms), "--set", "model.inputs=clinical")
    call("evaluate", home / "runs" / "form")
    metrics = json.loads((home / "runs" / "form" / "metrics.json").read_text())
    assert metrics["patient"]["n"] == metrics["image"]["n"]
    call("export", home / "runs" / "form", "--models-dir", home / "models")
    served = tf.saved_model.load(str(home / "models" / "form" / "1"))
    answer = served.signatures["serving_default"](
        age=tf.constant([50.0]), density=tf.constant(["low"]), halo=tf.constant([""])
    )["probability"]
    assert answer.shape == (1,)


@pytest.mark.slow
def test_a_model_of_both_uses_both_and_beats_either(home):
    """The label is decided by the sum of two signs: one in the image, one on the form.

    Shuffling either side between held-out patients lowers the score.
    """
    folder = home / "sum"
    folder.mkdir()
    rng = np.random.default_rng(2)
    rows = []
    for number in range(240):
        seen, asked = rng.normal(size=2)
        grey = rng.rayleigh(60 + 15 * seen, (64, 64)).clip(0, 255).astype("uint8")
        Image.fromarray(grey).save(folder / f"{number}.png")
        words = ("benign", "malignant")[int(seen + asked > 0)]
        values = (f"{number}.png", f"P{number}", words, 58 + 12 * asked, "low", "no")
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    rows[0]["age"] = 58
    manifest = write_csv(
        folder / "manifest.csv", [{**r, "age": np.clip(r["age"], 18, 99)} for r in rows]
    )
    settings = (
        "preprocessing.grey_percentiles=null",
        "augmentation.brightness=0",
        "augmentation.contrast=0",
        "augmentation.zoom=0",
        "train.epochs=40",
        "train.learning_rate=0.01",
        "split.test_fraction=0.4",
        "evaluation.bootstrap_resamples=500",
    )
    sets = [part for one in settings for part in ("--set", one)]
    call("fit", "--multimodal", *options(home, "sum", manifest), *sets)
    call("evaluate", home / "runs" / "sum")
    tables = home / "runs" / "sum" / "tables"
    falls = {
        r["name"]: float(r["low"])
        for r in read_csv(tables / "importance.csv")
        if r["low"]
    }
    assert falls["image"] > 0.05 and falls["whole form"] > 0.05
    differences = {
        r["name"]: r["difference_low"] for r in read_csv(tables / "additions.csv")
    }
    assert float(differences["image alone"]) > 0
    assert float(differences["form alone"]) > 0


@pytest.mark.slow
def test_cross_validation_compares_on_the_same_folds_and_resumes(
    home, monkeypatch, checked
):
    from usgland.steps import training

    train, trained = training.train_network, []

    def interrupted(run, *others):
        if len(trained) == 3:  # both folds of the image alone, one of the form alone
            raise KeyboardInterrupt
        trained.append(run)
        train(run, *others)

    monkeypatch.setattr(training, "train_network", interrupted)
    arguments = (*options(home, "cv"), "--set", "split.folds=2")
    done = CliRunner().invoke(cli, ["cv", "--multimodal", *map(str, arguments)])
    assert done.exit_code == 130
    monkeypatch.setattr(training, "train_network", train)
    checked.clear()
    stdout = call("cv", "--resume", "--runs-dir", home / "runs", "--name", "cv")
    assert (len(checked), set(checked.values())) == (24, {1})
    assert stdout.count("Done before") == 2  # the image alone; a fold of the form
    run = home / "runs" / "cv"
    rows = {row["image"]: row["fold"] for row in read_csv(run / "predictions.csv")}
    besides = {path.name for path in (run / "alone").iterdir()}
    logistic = {"logistic", "logistic_demographic", "logistic_image_read"}
    assert besides == {"image", "clinical"} | logistic
    for beside in besides:
        theirs = read_csv(run / "alone" / beside / "predictions.csv")
        assert {row["image"]: row["fold"] for row in theirs} == rows
    assert "Over the better side, the " in stdout
    assert not (run / "folds" / "0" / "alone").exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows: [r.pop("halo") for r in rows], "expected the column `halo`"),
        (lambda rows: [r.update(halo="") for r in rows], "halo: expected a value in"),
        (lambda rows: rows[3].update(age="612"), "row 5: age: expected a number from"),
        (lambda rows: rows[3].update(density="grey"), "row 5: density: expected one"),
        (lambda rows: rows[3].update(halo="maybe"), "Received: 'maybe'"),
    ],
)
def test_a_bad_form_is_one_line_before_training(home, tmp_path, change, expected):
    shutil.copytree(home / "data", tmp_path / "data")
    manifest = tmp_path / "data" / "manifest.csv"
    rows = read_csv(manifest)
    change(rows)
    write_csv(manifest, rows)
    line = refusal("fit", "--multimodal", *options(home, "bad", manifest))
    assert expected in line
    assert "\n" not in line
    assert not (home / "runs" / "bad").exists()


def test_a_forced_leak_is_said_wherever_figures_are(home):
    rows = read_csv(home / "data" / "manifest.csv")
    for row in rows:
        row["birads"] = "yes" if row["label"] == "malignant" else "no"
    manifest = write_csv(home / "data" / "leak.csv", rows)
    leak = "clinical.columns={birads: {kind: yes_no, role: image_read}}"
    arguments = (*options(home, "leak", manifest), "--set", "model.inputs=clinical")
    assert "would give the label away" in refusal("fit", *arguments, "--set", leak)
    forced = "clinical.allow_leaks=[birads]"
    stdout = call("fit", *arguments, "--set", leak, "--set", forced)
    assert "birads" in stdout and "may know the label" in stdout
    stdout = call("evaluate", home / "runs" / "leak")
    assert "may know the label" in stdout
    assert "birads" in (home / "runs" / "leak" / "tables" / "metrics.md").read_text()


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("step", [training.fit, training.cross_validate])
def test_the_models_beside_are_the_same_whether_the_run_was_resumed(
    home, tmp_path, monkeypatch, step
):
    """Though a GPU with bfloat16, and many images, settle what is `auto`."""
    received = []

    def note(run, config, *rest):
        received.append({name: _alone(config, name, run) for name in NETWORKS})
        raise StoppedError

    settle = {"precision": "mixed_bfloat16", "batch_size": LARGE_BATCH}
    monkeypatch.setattr(
        fit_module,
        "_settled",
        lambda config, splits: config.model_copy(
            update={"train": config.train.model_copy(update=settle)}
        ),
    )
    monkeypatch.setattr(training, "train_companions", note)
    config = load_config(
        home / "settings.yaml",
        [
            *("model.inputs=both", "train.batch_size=auto"),
            f"data.manifest={home / 'data' / 'manifest.csv'}",
        ],
    )
    for settings in (config, None):
        with pytest.raises(StoppedError):
            step(tmp_path / "run", settings, Console(quiet=True))
    begun, resumed = received
    assert begun == resumed
    form, image = resumed["clinical"].train, resumed["image"].train
    assert (form.precision, form.batch_size) == ("float32", 16)
    assert (image.precision, image.batch_size) == ("mixed_bfloat16", 64)
