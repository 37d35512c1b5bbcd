"""A run in a notebook: the numbers of the command, and its verdict on images."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

import usgland
from tests.commands import UNCHANGED_YAML
from usgland.cli.main import cli
from usgland.config import load_config
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import patient_predictions

pytestmark = [pytest.mark.usefixtures("tiny_network"), pytest.mark.slow]
SETTINGS = f"""
{UNCHANGED_YAML}
preprocessing: {{image_size: 64}}
model: {{weights: null, clinical_units: 4}}
train: {{epochs: 1, batch_size: 8, warmup_epochs: 0, ema_momentum: null}}
evaluation: {{bootstrap_resamples: 20}}
clinical:
  companions: false
  columns:
    age: {{kind: number, role: demographic, unit: years, low: 18, high: 99}}
    halo: {{kind: yes_no, role: image_read}}
"""


def call(*arguments):
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def home(tmp_path_factory, tiny_manifest, tiny_network):
    """Images with forms, and a run of each kind of model."""
    home = tmp_path_factory.mktemp("home")
    (home / "settings.yaml").write_text(SETTINGS)
    with tiny_manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (home / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "patient_id", "label", "age", "halo"))
        for row in rows:
            patient = int(row["patient_id"][1:])
            path = tiny_manifest.parent / row["image"]
            form = (40 + patient, ("yes", "no", "")[patient % 3])
            writer.writerow((path, row["patient_id"], row["label"], *form))
    options = ("--config", home / "settings.yaml", "--runs-dir", home / "runs")
    for kind in ("image", "both", "clinical"):
        call(
            *("fit", *options, "--manifest", home / "manifest.csv", "--name", kind),
            *("--set", f"model.inputs={kind}"),
        )
    return home


@pytest.fixture(scope="module")
def table(home):
    return pd.read_csv(home / "manifest.csv")


def written(home, kind, *options):
    out = home / f"{kind}.csv"
    manifest = home / "manifest.csv"
    call(
        *("predict", home / "runs" / kind, "--manifest", manifest),
        *("--output", out, "--overwrite", *options),
    )
    return pd.read_csv(out)


NUMBERS = ["probability", "logit", "role"]


def test_images_get_the_numbers_of_the_command_to_the_bit(home, table):
    run = usgland.load_run(home / "runs/image")
    found = run.predict(table["image"].to_list())
    expected = written(home, "image")
    pd.testing.assert_frame_equal(found[NUMBERS], expected[NUMBERS], check_exact=True)
    assert found["image"].to_list() == table["image"].to_list()
    called = expected["probability"] >= run.threshold
    assert found["prediction"].to_list() == called.astype(int).to_list()
    assert set(found["label"]) == {-1}
    assert run.config.preprocessing.image_size == 64
    assert repr(run) == (
        f"LoadedRun({str(home / 'runs/image')!r}: squeezenet1_1; calibration "
        f"temperature; threshold {run.threshold:.4g})"
    )


def test_a_table_keeps_its_index_its_patients_and_its_labels(home, table):
    rows = table.set_index("patient_id", drop=False).iloc[::-1]
    run = usgland.load_run(home / "runs/image")
    found = run.predict(rows)
    assert found.index.equals(rows.index)
    assert found["patient_id"].to_list() == rows["patient_id"].to_list()
    assert (
        found["label"].to_list() == (rows["label"] == "malignant").astype(int).to_list()
    )
    patients = patient_predictions(found)
    assert len(patients) == 16
    # What `predict` gave may be handed back, a part of it, too.
    again = run.predict(found[found["label"] == 1])
    assert again["label"].to_list() == [1] * len(again) and len(again) > 5
    assert len(run.explain(found.iloc[:1])) == 1
    assert set(run.predict(run.predict(table["image"]))["label"]) == {-1}
    with pytest.raises(UserError, match="row 1: expected a label among .* '2'"):
        run.predict(found.assign(label=2).iloc[:1])


@pytest.mark.parametrize("kind", ["both", "clinical"])
def test_forms_stand_beside_the_images_or_among_their_columns(home, table, kind):
    run = usgland.load_run(home / "runs" / kind)
    expected = written(home, kind)
    form = table[["age", "halo"]].set_axis(range(100, 100 + len(table)))
    beside = run.predict(table["image"].to_list(), form=form)
    pd.testing.assert_frame_equal(beside[NUMBERS], expected[NUMBERS], check_exact=True)
    among = run.predict(table)
    pd.testing.assert_frame_equal(among[NUMBERS], expected[NUMBERS], check_exact=True)


def test_a_run_without_marks_is_stored_without_what_they_teach(home):
    config = load_config(home / "runs/image/config.yaml")
    assert not config.model.lesion_head
    assert config.augmentation.equalize_size == 0


def test_boxes_of_images_without_a_label_are_in_nobodys_way(home, table):
    run = usgland.load_run(home / "runs/image")
    new = table[["image"]].assign(box_x=4, box_y=5, box_width=30, box_height=20)
    np.testing.assert_array_equal(
        run.predict(new)["logit"], run.predict(table["image"].to_list())["logit"]
    )


def test_a_model_of_the_form_alone_needs_no_images(home, table):
    run = usgland.load_run(home / "runs/clinical")
    found = run.predict(form=table[["age", "halo"]])
    assert np.array_equal(found["logit"], written(home, "clinical")["logit"])
    assert found["image"].iloc[0] == "row 1"
    assert "the form alone" in repr(run)
    with pytest.raises(UserError, match="whose model looks at images"):
        run.explain(table)


def test_a_side_can_be_left_out_of_both(home, table):
    run = usgland.load_run(home / "runs/both")
    found = run.predict(table["image"], without="form")
    expected = written(home, "both", "--without", "form")
    assert np.array_equal(found["logit"], expected["logit"])
    with pytest.raises(UserError, match="images: expected the column `age`"):
        run.predict(table["image"])
    with pytest.raises(
        ValueError, match="`without` must be None or, .* 'picture', and"
    ):
        run.predict(table, without="picture")
    with pytest.raises(ValueError, match="`without` .* Received: 'form', .* 'image'"):
        usgland.load_run(home / "runs/image").predict(table, without="form")


def test_maps_have_the_sizes_of_their_images(home, table):
    run = usgland.load_run(home / "runs/both")
    rows = table.head(3)
    maps = run.explain(rows, label="benign")
    for path, each in zip(rows["image"], maps, strict=True):
        with Image.open(path) as image:
            assert each.shape == image.size[::-1]
        assert each.dtype == "float32" and each.min() >= 0 and each.max() <= 1
    with pytest.raises(ValueError, match="`method` must be one of .*'lime'"):
        run.explain(rows, method="lime")


def test_bad_images_get_the_verdict_of_the_manifest(home, table, tmp_path):
    run = usgland.load_run(home / "runs/image")
    Image.new("L", (16, 16)).save(tmp_path / "small.png")
    (tmp_path / "empty.png").touch()
    images = [table["image"][0], tmp_path / "small.png", tmp_path / "empty.png"]
    with pytest.raises(UserError) as raised:
        run.predict(images)
    with (tmp_path / "manifest.csv").open("w") as file:
        file.write("\n".join(["image", *map(str, images)]))
    done = CliRunner().invoke(
        cli,
        ["predict", str(home / "runs/image"), "--manifest", f"{tmp_path}/manifest.csv"],
    )
    verdicts = [line.partition(": ")[2] for line in str(raised.value).splitlines()]
    theirs = [line.partition(": ")[2] for line in done.stderr.strip().splitlines()]
    assert verdicts[1:] == theirs[1:] and len(verdicts) == 3
    assert str(raised.value).startswith("images: 2 problems:\n  row 2: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([np.zeros((64, 64))],), "must be paths .* Received: ndarray; save arrays"),
        (([],), "`images` must hold an image. Received: none"),
        ((), "`images` must hold an image. Received: none"),
    ],
)
def test_what_is_no_image_is_named(home, arguments, message):
    with pytest.raises(ValueError, match=message):
        usgland.load_run(home / "runs/image").predict(*arguments)


def test_a_form_of_another_length_is_named(home, table):
    with pytest.raises(ValueError, match="Received: 2 rows for 20 images"):
        usgland.load_run(home / "runs/both").predict(
            table["image"], form=table[["age", "halo"]].head(2)
        )


def test_what_is_no_run_with_one_model_is_named(home, tmp_path):
    with pytest.raises(UserError, match=r"run directory with config.yaml. Received"):
        usgland.load_run(tmp_path)
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(UserError, match=r"run directory with model.keras. Received"):
        usgland.load_run(tmp_path)
    (tmp_path / "folds").mkdir()
    with pytest.raises(UserError, match=r"directory with predictions.csv. Received"):
        usgland.load_run(tmp_path)


def test_the_page_for_notebooks_runs(home, table, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/squeeze-1").symlink_to(home / "runs/image")
    for name, path in zip(("a.png", "b.png"), table["image"], strict=False):
        (tmp_path / name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs/python.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names = {}
    exec(code, names)
    assert len(names["table"]) == len(names["maps"]) == 2
