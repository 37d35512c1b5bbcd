"""A whole training run, on a network of one convolution."""

import csv
import io
import json
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from tests.commands import UNCHANGED, full_disk
from usgland import machine
from usgland.config import load_config
from usgland.data.manifest import load_manifest
from usgland.data.splits import make_splits, splits_table
from usgland.errors import UserError
from usgland.models.answers import Looking
from usgland.models.classifier import build_classifier
from usgland.training.averaging import arrays_of
from usgland.training.fit import _seconds_per_image, fit_run, prepare_run
from usgland.training.parts import Part
from usgland.training.progress import write_tensorboard

pytestmark = pytest.mark.usefixtures("tiny_network")
SETTINGS = (
    "preprocessing.image_size=64",
    "model.weights=null",
    "train.batch_size=8",
    "train.epochs=2",
    "train.warmup_epochs=1",
    "train.frozen_epochs=1",
    "train.ema_momentum=0.9",
    "train.precision=mixed_bfloat16",
    *UNCHANGED[:-1],  # Images are blurred.
)


def fit(run, rows, *overrides):
    """Trains in `run`, which is made if it is not there; returns what was shown."""
    if not run.exists():
        prepare_run(run, load_config(None, [*SETTINGS, *overrides]), splits_table(rows))
    shown = io.StringIO()
    fit_run(run, rows, Console(file=shown, width=200))
    return shown.getvalue()


def files_in(run):
    return {path.name for path in run.iterdir()}


def weights_of(run):
    return arrays_of(keras.models.load_model(run / "model.keras").variables)


def assert_same_run(run, other):
    assert (run / "history.csv").read_bytes() == (other / "history.csv").read_bytes()
    for array, again in zip(weights_of(run), weights_of(other), strict=True):
        np.testing.assert_array_equal(array, again)
    assert files_in(run) == files_in(other)


@pytest.fixture(scope="module")
def rows(tiny_manifest):
    config = load_config(None)
    rows = load_manifest(tiny_manifest, config.data)
    return make_splits(rows, config.split).assign(synthetic="1")


@pytest.fixture(scope="module")
def finished(rows, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "finished"
    return run, fit(run, rows)


def test_a_finished_run_holds_its_model_and_its_history_and_no_checkpoint(finished):
    run, _ = finished
    assert files_in(run) == {
        "config.yaml",
        "environment.json",
        "history.csv",
        "model.keras",
        "splits.csv",
        "tensorboard",
    }
    with (run / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    assert [row["epoch"] for row in history] == ["0", "1", "2"]
    names = {"loss", "auc", "sensitivity", "specificity", "f1", "cohen_kappa"}
    for name in names | {"jaccard", "accuracy"}:
        assert {name, f"val_{name}"} <= set(history[0])
    environment = json.loads((run / "environment.json").read_text())
    losses = [float(row["val_loss"]) for row in history]
    assert environment["kept_epoch"] == int(np.argmin(losses))
    assert environment["epochs"] == 3
    assert environment["synthetic"] is True
    assert environment["model_bytes"] == (run / "model.keras").stat().st_size
    assert environment["precision"] == "mixed_bfloat16"
    assert environment["packages"]["keras"] == keras.__version__
    assert environment["seconds_per_image"] > 0
    assert environment["training_seconds"] > 0


def test_the_time_of_an_image_is_that_of_all_its_views(monkeypatch):
    looks = []
    look = Looking._look

    def counted(*arguments):
        looks.append(0)
        return look(*arguments)

    monkeypatch.setattr(Looking, "_look", counted)
    pixels = np.zeros((2, 91, 91, 1), "uint8")
    for second_view, expected in (("true", 2), ("false", 1)):
        settings = (*SETTINGS, f"model.second_view={second_view}")
        model = build_classifier(load_config(None, settings))
        looks.clear()
        assert _seconds_per_image(model, Part(pixels, np.zeros(2))) > 0
        assert len(looks) == expected


def test_each_epoch_is_shown_with_its_measures_and_the_time_left(finished):
    run, shown = finished
    lines = [line for line in shown.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    kept = json.loads((run / "environment.json").read_text())["kept_epoch"]
    assert lines[kept].endswith("*")
    assert f"Kept epoch {kept + 1}, the best by val_loss (*)" in shown
    assert "min left" in lines[0] and "val_auc" in lines[0]


def test_what_was_trained_in_half_precision_is_saved_in_float32(finished):
    model = keras.models.load_model(finished[0] / "model.keras")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("epoch", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    finished, rows, tmp_path, monkeypatch, epoch
):
    def interrupt(history, folder):
        if len(history) == epoch:
            raise KeyboardInterrupt
        write_tensorboard(history, folder)

    monkeypatch.setattr("usgland.training.fit.write_tensorboard", interrupt)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(run, rows)
    assert "model.keras" not in files_in(run)
    assert [path.name for path in (run / "checkpoint").iterdir()] == [
        f"epoch-0000{epoch}.npz"
    ]
    # A process that is killed while it writes leaves this.
    (run / ".history-a1b2c3d4.csv").write_text("epoch,lo")
    monkeypatch.undo()
    assert f"Resuming after epoch {epoch} of 3" in fit(run, rows)
    assert_same_run(finished[0], run)


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_a_run_is_the_same_wherever_its_pictures_are_kept(
    finished, rows, tmp_path, monkeypatch, cache
):
    """Also where it is interrupted and goes on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def interrupt(history, folder):
        write_tensorboard(history, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr("usgland.training.fit.write_tensorboard", interrupt)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(run, rows, f"data.cache={cache}")
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    where = {"disk": "kept on disk", "none": "decoded anew"}[cache]
    assert f" s, {where}" in fit(run, rows)
    assert_same_run(finished[0], run)
    if cache == "disk":
        [other] = (tmp_path / "cache" / "usgland" / "pictures").iterdir()
        assert other.stat().st_size > 0


@pytest.mark.parametrize(
    ("change", "received"),
    [
        (lambda path: path.unlink(), "none that can be read (No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "another, it has"),
    ],
    ids=["vanished", "cut short"],
)
def test_an_image_that_changes_while_it_is_needed_is_named(
    rows, tmp_path, monkeypatch, change, received
):
    moved = rows.copy()
    row = moved.index[moved["role"] == "train"][0]
    path = shutil.copy(moved.at[row, "image_path"], tmp_path / "moved.png")
    moved.at[row, "image_path"] = str(path)

    def change_it(history, folder):
        write_tensorboard(history, folder)
        change(path)

    monkeypatch.setattr("usgland.training.fit.write_tensorboard", change_it)
    expected = re.escape(f"was checked at {path}. Received: {received}")
    with pytest.raises(UserError, match=expected):
        fit(tmp_path / "run", moved, "data.cache=none", "train.batch_size=4")


def test_a_run_killed_before_it_could_clean_up_is_not_trained_again(
    finished, rows, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    (run / "checkpoint").mkdir()
    (run / "checkpoint" / "epoch-00003.npz").write_bytes(b"no longer needed")
    before = (run / "model.keras").read_bytes()
    assert fit(run, rows) == ""
    assert files_in(run) == files_in(finished[0])
    assert (run / "model.keras").read_bytes() == before


@pytest.mark.slow
def test_a_disk_that_fills_leaves_a_run_that_can_be_resumed(
    finished, rows, tmp_path, monkeypatch, capfd
):
    run = tmp_path / "run"
    with pytest.raises(UserError, match="Cannot write .*epoch-00001.npz: File too la"):  # noqa: SIM117
        with full_disk(8000):
            fit(run, rows)
    assert files_in(run) <= {"config.yaml", "splits.csv", "checkpoint"}
    assert not any((run / "checkpoint").iterdir())
    save = keras.Model.save

    def save_to_full_disk(model, path):
        with full_disk(4000):
            save(model, path)

    monkeypatch.setattr(keras.Model, "save", save_to_full_disk)
    with pytest.raises(UserError, match="Cannot write .*model.keras: "):
        fit(run, rows)
    assert "model.keras" not in files_in(run)
    monkeypatch.undo()
    fit(run, rows)
    assert_same_run(finished[0], run)
    assert capfd.readouterr().err == ""


def test_logs_that_do_not_fit_on_the_disk_are_one_error(tmp_path, capfd):
    history = [{"epoch": 0, "loss": 0.5, "val_loss": 0.4}]
    with pytest.raises(UserError, match="Cannot write"), full_disk(10):
        write_tensorboard(history, tmp_path / "tensorboard")
    assert capfd.readouterr().err == ""


def test_training_may_start_from_the_weights_of_an_earlier_run(
    finished, rows, tmp_path
):
    run = tmp_path / "run"
    fit(
        run,
        rows,
        f"model.weights={finished[0]}",
        "train.frozen_epochs=0",
        "train.epochs=1",
        "train.learning_rate=1e-12",
        "train.precision=float32",
    )
    for array, earlier in zip(
        weights_of(run)[:2], weights_of(finished[0]), strict=False
    ):
        np.testing.assert_allclose(array, earlier, atol=1e-6)
    assert np.abs(weights_of(run)[0]).max() > 0


def test_a_run_goes_on_in_the_precision_that_it_began_with(rows, tmp_path, monkeypatch):
    def taken(policy):
        monkeypatch.setattr(machine, "automatic_precision", lambda *_: policy)

    def interrupt(history, folder):
        raise KeyboardInterrupt

    taken("mixed_bfloat16")
    auto = ("train.precision=auto", "train.epochs=1")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("usgland.training.fit.write_tensorboard", interrupt)
        fit(tmp_path / "run", rows, *auto)
    config = load_config(tmp_path / "run" / "config.yaml")
    assert config.train.precision == "mixed_bfloat16"
    taken("float32")  # on another machine
    fit(tmp_path / "run", rows)
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["precision"] == "mixed_bfloat16"


@pytest.mark.slow
def test_a_full_memory_keeps_the_epochs_before_and_names_a_batch_size(
    finished, rows, tmp_path, monkeypatch
):
    def fill(history, folder):
        if len(history) == 2:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
        write_tensorboard(history, folder)

    monkeypatch.setattr("usgland.training.fit.write_tensorboard", fill)
    run = tmp_path / "run"
    with pytest.raises(UserError, match="--resume; or .* train.batch_size=4"):
        fit(run, rows)
    monkeypatch.undo()
    assert "Resuming after epoch 2 of 3" in fit(run, rows)
    assert_same_run(finished[0], run)


def test_a_full_memory_in_the_first_step_names_a_batch_size(
    rows, tmp_path, monkeypatch
):
    def fill(*arguments, **settings):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr("usgland.training.fit.train", fill)
    with pytest.raises(
        UserError, match="Repeat the command with .* train.batch_size=4"
    ):
        fit(tmp_path / "run", rows)


def test_a_damaged_checkpoint_stops_a_resumed_run(finished, rows, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    (run / "model.keras").unlink()
    (run / "checkpoint").mkdir()
    (run / "checkpoint" / "epoch-00001.npz").write_bytes(b"PK\3\4 once upon a time")
    with pytest.raises(UserError, match="Expected a checkpoint in .*epoch-00001.npz"):
        fit(run, rows)


def test_a_run_directory_is_made_whole_or_not_at_all(rows, tmp_path, monkeypatch):
    config, splits = load_config(None, SETTINGS), splits_table(rows)
    with pytest.raises(UserError, match="Cannot write"), full_disk(100):
        prepare_run(tmp_path / "runs" / "new", config, splits)
    assert files_in(tmp_path / "runs") == set()
    prepare_run(tmp_path / "runs" / "new", config, splits, folds=True)
    assert files_in(tmp_path / "runs") == {"new"}
    assert files_in(tmp_path / "runs" / "new") == {"config.yaml", "splits.csv", "folds"}


def test_a_run_directory_is_never_overwritten(finished, rows):
    run, _ = finished
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    config, splits = load_config(None, SETTINGS), splits_table(rows)
    with pytest.raises(UserError, match="never overwritten. Received one that exists"):
        prepare_run(run, config, splits)
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before
    assert files_in(run.parent) == {"finished"}


def test_two_processes_that_chose_one_name_do_not_share_a_run(
    rows, tmp_path, monkeypatch
):
    run = tmp_path / "new"

    def make_meanwhile(*arguments, **options):
        (run / "config.yaml").parent.mkdir()
        (run / "config.yaml").write_text("of the other")
        return "{}"

    monkeypatch.setattr("usgland.training.fit.dump_config", make_meanwhile)
    with pytest.raises(UserError, match="Cannot make the run directory .*new"):
        prepare_run(run, load_config(None, SETTINGS), splits_table(rows))
    assert files_in(tmp_path) == {"new"}
    assert (run / "config.yaml").read_text() == "of the other"


def test_a_file_in_the_way_of_the_runs_is_named(rows, tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match="make the run directory .*/new: Not a dir"):
        prepare_run(
            tmp_path / "runs" / "new", load_config(None, SETTINGS), splits_table(rows)
        )
