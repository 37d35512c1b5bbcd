"""The commands from end to end, on a network of one convolution.

A mistake of the user is one line on stderr (several mistakes one line each), exit
code 1, or 2 for usage, and leaves nothing behind.
"""

import json
import shutil

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.commands import call, fail, files_in, full_disk, read_csv, write_csv
from usgland.cli.main import cli
from usgland.training.device import describe_device

pytestmark = pytest.mark.usefixtures("tiny_network")
SETTINGS = """
preprocessing: {image_size: 64}
model: {weights: null}
train: {epochs: 2, batch_size: 8, warmup_epochs: 0, ema_momentum: null}
evaluation: {bootstrap_resamples: 20}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with settings.yaml."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "settings.yaml").write_text(SETTINGS)
    return folder


@pytest.fixture(scope="module")
def run(home, tiny_manifest):
    """A run that `usgland fit` made, with what it printed in `stdout.txt` beside."""
    stdout = call("fit", *options(home, tiny_manifest), "--name", "fitted")
    (home / "stdout.txt").write_text(stdout)
    return home / "runs" / "fitted"


@pytest.fixture
def data(tiny_manifest, tmp_path):
    """A copy of the manifest and its images, to be spoiled."""
    folder = tmp_path / "data"
    shutil.copytree(tiny_manifest.parent, folder)
    return folder / "manifest.csv"


@pytest.fixture
def elsewhere(data):
    """The same, with images that the run has not seen: mirrored ones."""
    for row in read_csv(data):
        path = data.parent / row["image"]
        with Image.open(path) as image:
            mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mirrored.save(path)
    return data


def options(home, manifest, runs_dir=None):
    settings = home / "settings.yaml"
    runs = runs_dir or home / "runs"
    return "--config", settings, "--manifest", manifest, "--runs-dir", runs


# The straight path.


def test_fit_writes_a_run_and_says_what_comes_next(run, home):
    assert files_in(run) == [
        "calibration.json",
        "config.yaml",
        "environment.json",
        "history.csv",
        "model.keras",
        "splits.csv",
        "tables",
        "tensorboard",
        "threshold.json",
    ]
    assert files_in(run / "tables") == ["metrics_val.csv", "metrics_val.md"]
    stdout = (home / "stdout.txt").read_text()
    assert stdout.startswith(f"{describe_device('float32')}\n")
    assert "train 13 images of 10 patients (5 benign, 5 malignant)" in stdout
    assert f"Wrote {run}/ with model.keras" in stdout
    assert "Calibrated by temperature" in stdout
    for command in (f"evaluate {run}", f"predict {run} --manifest", f"export {run}"):
        assert f"  usgland {command}" in stdout


def test_evaluate_scores_the_test_part_once(run):
    stdout = call("evaluate", run)
    assert stdout.startswith(f"{describe_device('float32')}\n")
    metrics = json.loads((run / "metrics.json").read_text())
    splits = read_csv(run / "splits.csv")
    assert metrics["synthetic"] is False
    assert "ROC AUC" in stdout and "per patient" in stdout
    assert f"Wrote {run / 'metrics.json'}" in stdout
    predictions = read_csv(run / "predictions.csv")
    assert [row["image"] for row in predictions] == [row["image"] for row in splits]
    assert [row["role"] for row in predictions] == [row["role"] for row in splits]
    calibration = json.loads((run / "calibration.json").read_text())
    for row in predictions:
        odds = np.exp(float(row["logit"]))
        assert float(row["probability"]) == pytest.approx(odds / (1 + odds), rel=1e-5)
        said = calibration["slope"] * float(row["model_logit"])
        assert float(row["logit"]) == pytest.approx(said + calibration["intercept"])
    before = (run / "metrics.json").read_bytes()
    [line] = fail("evaluate", run)
    assert "metrics.json" in line and "--overwrite" in line
    assert (run / "metrics.json").read_bytes() == before
    call("evaluate", run, "--overwrite")


@pytest.mark.slow
def test_each_image_is_checked_once_a_command(home, elsewhere, run, checked):
    rows = read_csv(elsewhere)
    write_csv(elsewhere, [row | {"site": row["label"][0]} for row in rows])

    def of_command(*arguments):
        checked.clear()
        call(*arguments)
        return len(checked), set(checked.values())

    runs = elsewhere.parent / "runs"
    folds = ("--set", "split.folds=2")
    new = options(home, elsewhere, runs)
    assert of_command("cv", *new, "--name", "cv", *folds) == (20, {1})
    copy = shutil.copytree(run, runs / "copy")
    other = ("evaluate", copy, "--manifest", elsewhere, "--subgroup", "site")
    assert of_command(*other) == (20, {1})
    # Again, as they are compared with what was predicted of them.
    (copy / "metrics-data.json").unlink()
    assert of_command(*other) == (20, {1})
    own = ("evaluate", copy, "--subgroup", "label", "--overwrite")
    assert of_command(*own) == (20, {1})


def test_subgroups_of_what_was_predicted_need_no_image(run, tmp_path, checked):
    copy = shutil.copytree(run, tmp_path / "copy")
    if not (copy / "predictions.csv").exists():
        call("predict", copy)
    checked.clear()
    shutil.rmtree(copy / "figures", ignore_errors=True)
    (copy / "metrics.json").unlink(missing_ok=True)
    call("evaluate", copy, "--subgroup", "label")
    assert not checked


def test_a_subgroup_that_is_no_column_is_named_before_anything_is_predicted(run):
    before = files_in(run)
    [line] = fail("evaluate", run, "--overwrite", "--subgroup", "device")
    assert "--subgroup: expected a column of the manifest" in line
    assert line.endswith("Received: 'device'")
    [line] = fail("evaluate", run, "--overwrite", "--subgroup", "age:60,40")
    assert "ascending numbers" in line
    assert files_in(run) == before


def test_predict_takes_images_without_labels_and_patients(run, data, tmp_path):
    rows = [{"image": row["image"]} for row in read_csv(data)]
    new = write_csv(data.parent / "new.csv", rows)
    stdout = call("predict", run, "--manifest", new, "--output", tmp_path / "new.csv")
    assert stdout.startswith(f"{describe_device('float32')}\n")
    assert f"Wrote {tmp_path / 'new.csv'}" in stdout
    predictions = read_csv(tmp_path / "new.csv")
    assert [row["label"] for row in predictions] == ["-1"] * 20
    assert [row["patient_id"] for row in predictions] == [r["image"] for r in rows]
    assert len(read_csv(tmp_path / "new_patients.csv")) == 20


def test_predict_writes_no_csv_under_the_name_of_a_workbook(run, data, tmp_path):
    [line] = fail("predict", run, "--manifest", data, "--output", tmp_path / "p.xlsx")
    assert "--output: expected the name of a CSV file" in line


def test_predict_overwrites_only_when_told_to(run, data, tmp_path):
    output = tmp_path / "out.csv"
    arguments = ("predict", run, "--manifest", data, "--output", output)
    output.with_name("out_patients.csv").write_text("mine")
    [line] = fail(*arguments)
    assert "no earlier predictions" in line and "out_patients.csv" in line
    assert not output.exists()
    call(*arguments, "--overwrite")
    before = output.read_bytes()
    [line] = fail(*arguments)
    assert "--overwrite to replace it" in line
    assert output.read_bytes() == before


def test_evaluate_on_other_images_wants_their_labels(run, data):
    rows = read_csv(data)
    for row in rows[:2]:
        row["label"] = ""
    part = write_csv(data.parent / "elsewhere.csv", rows)
    before = files_in(run)
    [line] = fail("evaluate", run, "--manifest", part)
    assert "expected a label of every image" in line and "2 of 20 without" in line
    assert files_in(run) == before


def test_evaluate_refuses_images_that_the_model_has_learned_from(run, data):
    before = files_in(run)
    [line] = fail("evaluate", run, "--manifest", data)
    assert f"expected images that {run} has not learned from" in line
    assert "Received 16 that are in its train or val part" in line
    assert files_in(run) == before


def test_predictions_of_known_images_keep_their_role(run, data, tmp_path):
    output = tmp_path / "known.csv"
    call("predict", run, "--manifest", data, "--output", output)
    roles = {row["image"]: row["role"] for row in read_csv(run / "splits.csv")}
    assert {row["image"]: row["role"] for row in read_csv(output)} == roles


def test_weights_of_a_run_may_not_know_the_test_patients(run, home, tiny_manifest):
    before = files_in(home / "runs")
    settings = "--set", f"model.weights={run}", "--set", "split.seed=5"
    [line] = fail("fit", *options(home, tiny_manifest), "--name", "leak", *settings)
    assert "model.weights: validation and test images: expected images" in line
    [line] = fail("cv", *options(home, tiny_manifest), "--name", "leak", *settings)
    assert "has not learned from" in line
    assert files_in(home / "runs") == before


def test_evaluate_wants_patients(run, elsewhere):
    rows = [
        {k: v for k, v in r.items() if k != "patient_id"} for r in read_csv(elsewhere)
    ]
    [line] = fail("evaluate", run, "--manifest", write_csv(elsewhere, rows))
    assert "expected the column `patient_id`" in line


def test_evaluate_does_not_take_one_hospital_for_another_of_the_same_name(
    run, elsewhere
):
    call("evaluate", run, "--manifest", elsewhere)
    assert (run / "predictions-data.csv").exists()
    other = elsewhere.parent.parent / "other" / "data" / "manifest.csv"
    shutil.copytree(elsewhere.parent, other.parent)
    write_csv(other, read_csv(other)[4:])
    [line] = fail("evaluate", run, "--manifest", other)
    assert "Received those of other images or labels. Add --overwrite" in line
    call("evaluate", run, "--manifest", other, "--overwrite")
    assert len(read_csv(run / "predictions-data.csv")) == len(read_csv(other))


def test_a_run_without_calibration_predicts_what_the_network_says(run, home):
    older = home / "runs" / "older"
    shutil.copytree(run, older)
    (older / "calibration.json").unlink()
    call("predict", older, "--overwrite")
    for row in read_csv(older / "predictions.csv"):
        assert float(row["logit"]) == pytest.approx(float(row["model_logit"]))
    shutil.rmtree(older)


def test_report_shows_the_run_its_patients_and_its_errors(run, home):
    if not (run / "metrics.json").exists():
        call("evaluate", run)
    stdout = call("report", run)
    assert stdout == f"Wrote {run / 'report.html'}\nWrote {run / 'model_card.md'}\n"
    html = (run / "report.html").read_text()
    for name in (
        "Flow of patients",
        "Results",
        "Worst errors",
        "Checklist: CLAIM 2024",
    ):
        assert f"<h2>{name}</h2>" in html
    [line] = fail("report", run)
    assert "no earlier report" in line and "Add --overwrite" in line
    call("report", run, "--no-images", "--overwrite")
    assert "<h2>Worst errors</h2>" not in (run / "report.html").read_text()


def test_a_report_of_two_runs_compares_them(run, tmp_path):
    if not (run / "metrics.json").exists():
        call("evaluate", run)
    other = tmp_path / "other"
    shutil.copytree(run, other)
    call("report", other, run, "--overwrite")
    html = (other / "report.html").read_text()
    assert "<h2>Comparisons</h2>" in html and "DeLong" in html
    assert (other / "tables" / "comparison.csv").exists()


def test_a_report_without_its_images_says_so(run, elsewhere, tmp_path):
    if not (run / "metrics.json").exists():
        call("evaluate", run)
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = (other / "config.yaml").read_text().splitlines()
    moved = [
        line if "manifest:" not in line else "  manifest: /gone.csv" for line in config
    ]
    (other / "config.yaml").write_text("\n".join(moved) + "\n")
    stdout = call("report", other, "--overwrite")
    assert "The manifest cannot be read any more" in stdout


def test_export_numbers_its_models(run, tmp_path):
    models = tmp_path / "models"
    stdout = call("export", run, "--models-dir", models)
    device, *lines = stdout.splitlines()
    assert device.startswith("CPU, ")
    assert lines[0] == f"Wrote {models / 'fitted' / '1'}"
    assert lines[1].startswith(f"Wrote {models / 'fitted' / 'operator'}: ")
    assert lines[3].startswith(f"  usgland serve --page --models-dir {models} ")
    assert (models / "fitted" / "operator" / "README.md").exists()
    call("export", run, "--models-dir", models, "--name", "other")
    assert files_in(models) == ["fitted", "other"]
    [line] = fail("export", run, "--models-dir", models, "--name", "../x")
    assert line == "Error: --name: expected the name of a folder. Received: '../x'"


@pytest.mark.parametrize("command", ["fit", "cv"])
def test_training_begins_with_what_is_odd_of_the_images(
    home, data, tmp_path, monkeypatch, command
):
    from usgland.steps import training

    def interrupted(*_):
        raise KeyboardInterrupt

    with Image.open(data.parent / "patient00_0.png") as image:
        image.putpixel((0, 0), 0)
        image.save(data.parent / "patient01_0.png")
    monkeypatch.setattr(training, "train_network", interrupted)
    arguments = [command, *options(home, data, tmp_path / "runs")]
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code == 130, done.output
    told = "1 pairs of images that look alike stand with two labels: patient00_0.png"
    assert done.stdout.count(told) == 1
    assert f"usgland check {data} --out DIR" in done.stdout


@pytest.mark.slow
def test_cross_validation_goes_on_where_it_was_interrupted(
    home, tiny_manifest, tmp_path, monkeypatch
):
    from usgland.steps import training

    runs = tmp_path / "my runs"
    train, trained = training.train_network, []

    def interrupted(run, *others):
        if trained:
            raise KeyboardInterrupt
        trained.append(run)
        train(run, *others)

    monkeypatch.setattr(training, "train_network", interrupted)
    settings = options(home, tiny_manifest, runs)
    [line] = fail("cv", *settings, "--set", "split.folds=2", code=130)
    resume = f"usgland cv --resume --runs-dir '{runs}' --name settings-cv-1"
    assert line == f"Interrupted. To go on: {resume}"
    monkeypatch.undo()
    [line] = fail("fit", "--resume", "--runs-dir", runs, "--name", "settings-cv-1")
    assert "begun by `usgland cv`" in line
    run = runs / "settings-cv-1"
    first = (run / "folds" / "0" / "model.keras").stat()
    assert "Done before" in call("cv", "--resume", "--runs-dir", runs)
    assert (run / "folds" / "0" / "model.keras").stat() == first
    pooled = read_csv(run / "predictions.csv")
    folds = {row["image"]: row["fold"] for row in read_csv(run / "splits.csv")}
    assert {row["image"]: row["fold"] for row in pooled} == folds
    assert len(pooled) == len(folds) == 20
    for fold in ("0", "1"):  # nobody tests the model that learned from them
        part = read_csv(run / "folds" / fold / "predictions.csv")
        tested = {row["image"] for row in part if row["role"] == "test"}
        assert tested == {image for image, one in folds.items() if one == fold}
    assert "Thresholds on P(malignant), by fold" in call("evaluate", run, "--full")
    stdout = call("evaluate", run, "--overwrite", "--subgroup", "label")
    assert "By label, per patient" in stdout
    groups = read_csv(run / "tables" / "subgroups.csv")
    assert {row["group"] for row in groups} == {"0", "1"}
    assert set(json.loads((run / "calibration.json").read_text())["folds"]) == {
        "0",
        "1",
    }
    [line] = fail("predict", run)
    assert "Expected a run with one model. Received the cross-validation" in line
    [line] = fail("cv", "--resume", "--runs-dir", runs)
    assert "expected an unfinished run" in line


def test_an_interrupted_fit_says_how_to_go_on_and_does(
    home, tiny_manifest, tmp_path, monkeypatch
):
    from usgland.training import fit

    write = fit.write_tensorboard

    def interrupt(history, folder):
        write(history, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "write_tensorboard", interrupt)
    settings = options(home, tiny_manifest, tmp_path)
    [line] = fail("fit", *settings, "--name", "one", code=130)
    command = f"usgland fit --resume --runs-dir {tmp_path} --name one"
    assert line == f"Interrupted. To go on: {command}"
    monkeypatch.undo()
    [line] = fail("fit", *settings, "--resume", "--set", "train.epochs=9")
    assert "train.epochs=9 instead of 2. Leave them out, or start a new run" in line
    assert "Resuming after epoch 1 of 2" in call(*command.split()[1:])
    [line] = fail(*command.split()[1:])
    assert "which is finished; `usgland evaluate` comes next" in line


def test_an_interruption_before_there_is_a_run_says_so(home, data, monkeypatch):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("usgland.data.sources.load_manifest", interrupt)
    [line] = fail("fit", *options(home, data, data.parent / "runs"), code=130)
    assert line == "Interrupted before the run began; nothing was written"


# Bad input.


def spoil(data, how):
    """Spoils the manifest or its images; returns what the lines must say."""
    folder, rows = data.parent, read_csv(data)
    names = [row["image"] for row in rows[:3]]
    images = [folder / name for name in names]
    if how == "missing manifest":
        data.unlink()
        return [["manifest.csv"]]
    if how == "empty manifest":
        data.write_text("")
        return [["manifest.csv"]]
    if how == "missing column":
        write_csv(
            data, [{k: v for k, v in row.items() if k != "label"} for row in rows]
        )
        return [["`label`", "data.columns"]]
    if how == "unknown label":
        rows[3]["label"] = "suspicious"
        write_csv(data, rows)
        return [["row 5", "'suspicious'", "data.label_words", "data.ignore_labels"]]
    if how == "one class":
        write_csv(data, [row for row in rows if row["label"] == "benign"])
        return [["0 malignant"]] * 3
    if how == "broken files":
        images[0].write_bytes(b"")
        images[1].write_bytes(images[1].read_bytes()[:300])
        images[2].write_text("Dear colleague, ")
        shown = ("0 bytes", "truncated", "no image")
        return [[name, one] for name, one in zip(names, shown, strict=True)]
    if how == "odd sizes":
        Image.new("L", (1, 1), 7).save(images[0])
        noise = np.random.default_rng(0).integers(0, 255, (3, 20000), dtype=np.uint8)
        Image.fromarray(noise).save(images[1])
        return [[names[0], "1x1"], [names[1], "20000x3"]]
    if how == "constant grey":
        Image.new("L", (80, 80), 128).save(images[0])
        return [[names[0], "same grey level"]]
    raise ValueError(how)


@pytest.mark.parametrize(
    "how",
    [
        "missing manifest",
        "empty manifest",
        "missing column",
        "unknown label",
        "one class",
        "broken files",
        "odd sizes",
        "constant grey",
    ],
)
@pytest.mark.parametrize("command", ["fit", "cv"])
def test_a_manifest_that_cannot_be_used_is_a_line_a_problem(home, data, command, how):
    expected = spoil(data, how)
    if (command, how) == ("cv", "one class"):
        expected = [["0 malignant"]] * 5  # folds
    runs = data.parent.parent / "runs"
    lines = fail(command, *options(home, data, runs))
    if len(lines) > 1 and lines[0].endswith("problems:"):
        lines = lines[1:]
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        for word in words:
            assert word in line
    assert files_in(runs) == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "train.epoch=3",
            "unknown setting `train.epoch`; the nearest is `train.epochs`",
        ),
        ("train.epochs=many", "`train.epochs`: expected a valid integer"),
        ("model.backbone=squeeznet", "expected 'squeezenet1_1', 'squeezenet1_0'"),
        ("train.epochs", "--set: expected KEY=VALUE. Received: 'train.epochs'"),
    ],
)
def test_a_wrong_setting_is_one_line(home, tiny_manifest, tmp_path, override, words):
    arguments = (*options(home, tiny_manifest, tmp_path / "runs"), "--set", override)
    for command in ("fit", "cv"):
        [line] = fail(command, *arguments)
        assert words in line
    assert files_in(tmp_path) == []


def test_a_missing_or_broken_config_is_one_line(tmp_path):
    [line] = fail("fit", "--config", tmp_path / "none.yaml", "--runs-dir", tmp_path)
    assert "none.yaml: expected a readable YAML file. Received: " in line
    [line] = fail("config", "show", "--config", tmp_path)
    assert "Is a directory" in line


@pytest.mark.parametrize("suffix", [".npz", ".keras", ".weights.h5", "", None])
def test_weights_that_cannot_be_read_are_one_line_and_leave_no_run(
    home, tiny_manifest, tmp_path, suffix
):
    weights = tmp_path / f"weights{suffix}"
    if suffix is not None:
        weights.write_bytes(b"PK\3\4 these are no weights" * 9)
    runs = tmp_path / "runs"
    arguments = (
        *options(home, tiny_manifest, runs),
        "--set",
        f"model.weights={weights}",
    )
    [line] = fail("cv" if suffix == ".npz" else "fit", *arguments)
    assert str(weights) in line
    assert files_in(runs) == []


@pytest.mark.parametrize("command", ["fit", pytest.param("cv", marks=pytest.mark.slow)])
def test_a_full_disk_is_one_line_and_leaves_no_part(
    home, tiny_manifest, tmp_path, command
):
    with full_disk(3000):
        [line] = fail(command, *options(home, tiny_manifest, tmp_path / "runs"))
    assert "Cannot write" in line and "File too large" in line
    assert files_in(tmp_path / "runs") == []


def test_a_runs_folder_that_cannot_be_made_is_one_line(home, tiny_manifest, tmp_path):
    (tmp_path / "file").touch()
    for runs in (tmp_path / "file", tmp_path / "file" / "runs", "/proc/runs"):
        [line] = fail("fit", *options(home, tiny_manifest, runs))
        assert f"Cannot make the run directory {runs}/settings-1: " in line
    assert files_in(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["a/b", "..", "", "n" * 300])
def test_a_name_that_is_no_name_of_a_folder_is_one_line(
    home, tiny_manifest, tmp_path, name
):
    runs = tmp_path / "runs"
    [line] = fail("fit", *options(home, tiny_manifest, runs), "--name", name)
    assert "--name: expected the name of a folder" in line or "name too long" in line
    assert files_in(runs) == []


def test_a_name_that_is_taken_is_one_line(run, home, tiny_manifest):
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    [line] = fail("fit", *options(home, tiny_manifest), "--name", run.name)
    assert "never overwritten" in line and "--resume" in line
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_nothing_to_resume_is_one_line(tmp_path):
    for command in ("fit", "cv"):
        [line] = fail(command, "--resume", "--runs-dir", tmp_path)
        assert "expected an unfinished run" in line
        [line] = fail(command, "--resume", "--runs-dir", tmp_path, "--name", "none")
        assert "Expected a run directory with config.yaml" in line


def test_a_folder_that_is_no_run_is_one_line(tmp_path):
    for command in ("predict", "evaluate", "export"):
        [line] = fail(command, tmp_path)
        assert "Expected a run directory with config.yaml" in line
        assert fail(command, tmp_path / "none")


@pytest.mark.parametrize("damage", ["cut short", "a byte changed", "other", "missing"])
def test_a_model_that_cannot_be_read_is_one_line(run, tmp_path, damage):
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    model = broken / "model.keras"
    content = bytearray(model.read_bytes())
    if damage == "a byte changed":
        content[len(content) // 2] ^= 0xFF
    model.write_bytes(content[:2000] if damage == "cut short" else content)
    if damage == "other":
        pixels = keras.Input((2,))
        keras.Model(pixels, keras.layers.Dense(1)(pixels)).save(model)
    if damage == "missing":
        model.unlink()
    for arguments in (["export"], ["predict", "--overwrite"]):
        command, *rest = arguments
        models = ["--models-dir", tmp_path / "models"] if command == "export" else []
        [line] = fail(command, broken, *rest, *models)
        assert "model.keras" in line
    assert files_in(tmp_path) == ["broken"]


def test_wrong_usage_has_exit_code_two():
    assert any("--epochs" in line for line in fail("fit", "--epochs", "3", code=2))
    assert any("RUN" in line for line in fail("predict", code=2))
    assert any("train" in line for line in fail("train", code=2))


def test_config_prints_settings_that_can_be_read_and_a_schema(tmp_path):
    text = call("config", "show", "--set", "train.epochs=7")
    (tmp_path / "all.yaml").write_text(text)
    assert call("config", "show", "--config", tmp_path / "all.yaml") == text
    assert "epochs: 7" in text
    schema = json.loads(call("config", "schema"))
    assert schema["title"] == "Config"
