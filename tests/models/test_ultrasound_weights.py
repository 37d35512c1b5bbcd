"""Weights that have seen ultrasound: read whole or refused, and never scored on it."""

import hashlib
import runpy
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from tests.commands import read_csv, refusal, write_csv
from usgland.config import dump_config, load_config
from usgland.data.sources import check_pretraining
from usgland.errors import UserError
from usgland.models import ultrasound_weights
from usgland.models.backbones import BACKBONES, load_weights, model_arrays
from usgland.models.ultrasound_weights import (
    check_unlearned,
    short_digests,
    ultrasound_arrays,
    write_ultrasound_weights,
)

pytestmark = pytest.mark.usefixtures("tiny_network")
DIGESTS = pd.Series([f"{number:064x}" for number in (5 << 192, 77 << 192, 1 << 255)])
ULTRASOUND = load_config(overrides=["model.weights=ultrasound"])


def network():
    pixels = keras.Input((64, 64, 3))
    return keras.Model(pixels, BACKBONES["squeezenet1_1"].build(pixels, 1.0))


def drawn():
    rng = np.random.default_rng(0)
    arrays = model_arrays(network())
    return {name: rng.normal(0, 1, array.shape) for name, array in arrays.items()}


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "ultrasound.npz"
    write_ultrasound_weights(drawn(), DIGESTS, path)
    monkeypatch.setattr(ultrasound_weights, "FILE", path)
    return path


def change(path, **changes):
    with np.load(path) as arrays:
        content = dict(arrays) | {k.replace("_of_", "/"): v for k, v in changes.items()}
    np.savez(path, **content)


def test_a_network_starts_from_them_in_half_precision(file):
    model = network()
    load_weights(model, "squeezenet1_1", "ultrasound", 1.0)
    for name, array in model_arrays(model).items():
        np.testing.assert_array_equal(array, drawn()[name].astype("float16"))
        assert array.dtype == np.float32


def test_another_network_version_or_shape_is_one_line(file):
    with pytest.raises(UserError, match="ultrasound weights of squeezenet1_1 alone"):
        ultrasound_arrays("vgg16")
    change(file, conv1_of_kernel=np.zeros((1, 1, 3, 4), "float16"))
    with pytest.raises(UserError, match=r"expected conv1/kernel of shape \(5, 5, 3, 4"):
        load_weights(network(), "squeezenet1_1", "ultrasound", 1.0)
    change(file, about_of_version=np.array(2))
    with pytest.raises(UserError, match="expected version 1 of .* Received: 2; make"):
        ultrasound_arrays("squeezenet1_1")
    np.savez(file, **drawn())
    with pytest.raises(UserError, match="Received: None; make it again by `python"):
        ultrasound_arrays("squeezenet1_1")


def test_without_the_file_one_line_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ultrasound_weights, "FILE", tmp_path / "none.npz")
    with pytest.raises(UserError, match="`python scripts/make_ultrasound_weights.py`"):
        ultrasound_arrays("squeezenet1_1")


def test_images_are_known_by_the_first_bits_of_their_digests(file):
    np.testing.assert_array_equal(short_digests(DIGESTS), [5, 77, 2**63])
    new = pd.Series(["f" * 64, "0" * 64])
    rows = pd.DataFrame({"sha256": new, "image": ["a.png", "b.png"]})
    check_unlearned(ULTRASOUND, rows)
    rows["sha256"] = [new[0], DIGESTS[2]]
    with pytest.raises(
        UserError, match=r"Received 1 that they have: b.png; start from"
    ):
        check_unlearned(ULTRASOUND, rows)
    with pytest.raises(UserError, match=r"theirs.csv: expected images that the ultra"):
        check_unlearned(ULTRASOUND, rows, "theirs.csv")
    check_unlearned(load_config(), rows)
    check_unlearned(ULTRASOUND, rows[["image"]])  # of a form alone


def test_what_a_run_began_with_is_known_of_those_that_begin_with_it(file, tmp_path):
    tables = {"first": "a" * 64, "second": "b" * 64}
    start = "ultrasound"
    for name, digest in tables.items():
        (tmp_path / name).mkdir()
        config = load_config(overrides=[f"model.weights={start}"])
        (tmp_path / name / "config.yaml").write_text(dump_config(config))
        table = [{"image": f"{name}.png", "role": "train", "sha256": digest}]
        write_csv(tmp_path / name / "splits.csv", table)
        start = tmp_path / name
    third = load_config(overrides=[f"model.weights={start}"])
    rows = pd.DataFrame({"image": ["x.png"], "sha256": [tables["first"]]})
    with pytest.raises(UserError, match="t.csv: expected images that .*first has not"):
        check_pretraining(third, rows, "t.csv")
    with pytest.raises(UserError, match="ultrasound weights have not learned from"):
        check_unlearned(third, rows.assign(sha256=DIGESTS[:1]))
    check_pretraining(third, rows.assign(sha256="c" * 64))


@pytest.mark.parametrize("step", ["fit", "cv"])
def test_nobody_is_scored_on_an_image_that_they_have_seen(
    step, file, tiny_manifest, tmp_path
):
    pixels = (tiny_manifest.parent / "patient05_0.png").read_bytes()
    digest = hashlib.sha256(pixels).hexdigest()
    write_ultrasound_weights(drawn(), pd.Series([digest]), file)
    rows = read_csv(tiny_manifest)
    for row in rows:
        row["image"] = str(tiny_manifest.parent / row["image"])
        own = "test" if row["patient_id"] in ("P05", "P06") else "train"
        row["split"] = "val" if row["patient_id"] in ("P08", "P09") else own
    manifest = write_csv(tmp_path / "manifest.csv", rows)
    line = refusal(
        *(step, "--manifest", manifest, "--runs-dir", tmp_path, "--name", "x"),
        *("--set", "model.weights=ultrasound"),
    )
    assert "the ultrasound weights have not learned from (BUSI and BrEaST)" in line
    assert "patient05_0.png" in line
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_the_script_makes_a_file_that_can_be_started_from(
    tiny_manifest, tmp_path, monkeypatch
):
    for source in ("busi", "breast_usg"):
        folder = shutil.copytree(tiny_manifest.parent, tmp_path / source)
        rows = [row | {"mask": "", "group_id": ""} for row in read_csv(tiny_manifest)]
        if source == "busi":
            rows = [row | {"keep": str(int(n > 1))} for n, row in enumerate(rows)]
        write_csv(folder / "manifest.csv", rows)
        for path in folder.glob("*.png"):  # No two sets share a file.
            path.write_bytes(path.read_bytes() + source.encode())
    script = Path(__file__).parents[2] / "scripts" / "make_ultrasound_weights.py"
    main = runpy.run_path(str(script))["main"]
    output = tmp_path / "made.npz"
    more = ["model.weights=null", "preprocessing.image_size=64"]
    main(tmp_path, tmp_path / "runs" / "ultrasound", 1, output, more)
    monkeypatch.setattr(ultrasound_weights, "FILE", output)
    load_weights(network(), "squeezenet1_1", "ultrasound", 1.0)
    with np.load(output) as arrays:
        assert len(arrays["about/image_digests"]) == 40  # also of what was left out
    card = output.with_suffix(".md").read_text()
    assert "on\n38 images" in card and card.count("CC BY 4.0") == 2
