import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.commands import call, fail, full_disk, read_csv, refusal
from tests.drawn_frames import draw_frame, write_table
from usgland.cli.main import cli
from usgland.quality import confounding


def exit_code(*arguments):
    done = CliRunner().invoke(cli, ["check", "--no-words", *map(str, arguments)])
    assert "Traceback" not in done.output, done.output
    return done.exit_code, done.stdout


def test_copies_become_groups_and_candidates(tmp_path):
    frames = [draw_frame(seed) for seed in range(4)]
    copy, other_label = frames[0][:, ::-1], frames[1][20:, 30:]
    manifest = write_table(
        tmp_path,
        [*frames, copy, other_label, frames[2]],
        label=["benign"] * 4 + ["benign", "malignant", "benign"],
        group_id=["", "", "g", "", "", "", ""],
        exclusion=["", "", "", "inflammatory lesion", "", "", ""],
    )
    before = manifest.read_bytes()
    out = tmp_path / "out"
    code, text = exit_code(manifest, "--out", out)
    assert code == 4
    assert "Pairs of copies: 3 (1 exact, 1 mirrored, 1 part)" in text
    assert manifest.read_bytes() == before
    rows = read_csv(out / "check.csv")
    assert [row["group_id"] for row in rows] == ["p0", "p1", "g", "", "p0", "p1", "g"]
    assert [row["exclusion_candidate"] for row in rows] == [
        "",
        "copies with different labels",
        "",
        "inflammatory lesion",
        "copy of another image",
        "copies with different labels",
        "copy of another image",
    ]
    assert [row["manifest_row"] for row in rows] == [str(n) for n in range(2, 9)]
    assert all((out / row["image"]).is_file() for row in rows)
    # A copy is named as the table itself names its image.
    assert [row["copy_of"] for row in rows[4:]] == [row["image"] for row in rows[:3]]
    # What was written is a manifest; its candidates are reasons once that is asked for.
    again = call(
        "config", "show", "--set", "data.columns.exclusion=exclusion_candidate"
    )
    assert "exclusion_candidate" in again
    code, _ = exit_code(out / "check.csv", "--out", tmp_path / "again")
    assert [row["group_id"] for row in read_csv(tmp_path / "again/check.csv")] == [
        row["group_id"] for row in rows
    ]


def test_the_page_shows_pictures_and_runs_nothing_of_a_table(tmp_path):
    frame, evil = draw_frame(0), "<script>alert(1)</script>"
    manifest = write_table(tmp_path, [frame, frame[:, ::-1]], label=[evil, "benign"])
    exit_code(manifest, "--out", tmp_path / "out")
    page = (tmp_path / "out/check.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("data:image/jpeg;base64") >= 2
    assert "http" not in page.replace("http-equiv", "")


def test_files_that_cannot_be_read_are_told_and_the_others_checked(tmp_path):
    frame = draw_frame(0)
    deep = (frame.astype(np.uint16) << 8) + 7
    manifest = write_table(
        tmp_path,
        [frame, None, frame, None, np.full((1, 1), 9, np.uint8), None, None, deep],
    )
    images = tmp_path / "images"
    whole = (images / "002.png").read_bytes()
    (images / "002.png").write_bytes(whole[: len(whole) // 2])
    os.mkfifo(images / "003.png")
    Image.fromarray(draw_frame(1)).convert("CMYK").save(images / "005.jpg")
    (images / "005.jpg").rename(images / "005.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(draw_frame(2)).save(images / "006.jpg", exif=turned)
    (images / "006.jpg").rename(images / "006.png")
    code, text = exit_code(manifest, "--out", tmp_path / "out")
    assert code == 4
    found = [row["findings"] for row in read_csv(tmp_path / "out/check.csv")]
    assert "no file at" in found[1]
    assert "truncated or damaged PNG" in found[2]
    assert "a folder or device" in found[3]
    assert "at least 32 pixels" in found[4]
    assert "orientation 6" in found[6]
    assert "copy of images/000.png" in found[7]
    assert not any("file:" in found[number] for number in (0, 5, 7))
    assert "Expected 10 patients of each label" in text


def test_images_that_are_all_the_same_are_copies_of_the_first(tmp_path):
    code, text = exit_code(write_table(tmp_path, [draw_frame(0)] * 8))
    assert code == 3
    assert "Pairs of copies: 7 (7 exact)" in text


@pytest.mark.parametrize("column", ["some", "none"])
def test_a_missing_patient_is_told_and_no_name_is_made_up(tmp_path, column):
    frames = [draw_frame(seed) for seed in range(3)]
    manifest = write_table(tmp_path, frames, label=["benign"] * 3)
    table = pd.read_csv(manifest, dtype=str)
    if column == "none":
        table = table.drop(columns="patient_id")
    else:
        table.loc[1:, "patient_id"] = ["", "unknown"]
    table.to_csv(manifest, index=False)
    code, text = exit_code(manifest, "--out", tmp_path / "out")
    assert code == 3
    missing = {"some": 2, "none": 3}[column]
    assert f"Images without a patient_id: {missing}" in " ".join(text.split())
    rows = read_csv(tmp_path / "out/check.csv")
    assert [row["patient_id"] for row in rows][-missing:] == [""] * missing
    assert [row["findings"] for row in rows].count("record: no patient_id") == missing
    refused = fail(
        *("fit", "--manifest", tmp_path / "out/check.csv", "--runs-dir", tmp_path / "r")
    )
    assert sum("expected a patient_id" in line for line in refused) == missing


def test_a_table_of_which_nothing_is_looked_at_is_no_clean_one(tmp_path):
    manifest = write_table(tmp_path, [draw_frame(0)], exclusion=["treated before"])
    assert "Received: no rows but those with an `exclusion`" in refusal(
        "check", "--no-words", manifest
    )
    manifest.write_text("image,patient_id,label\n")
    assert "expected images to look at, one a row. Received: no rows" in refusal(
        "check", "--no-words", manifest
    )


def test_the_page_says_that_words_were_not_looked_for(tmp_path):
    manifest = write_table(tmp_path, [draw_frame(0)])
    _, text = exit_code(manifest, "--out", tmp_path / "out")
    said = "Words in the pictures were not looked for"
    assert said in text
    assert "Images looked at: 1" in text
    assert said in (tmp_path / "out/check.html").read_text()


def test_nothing_to_notice_ends_with_zero_and_writes_nothing(tmp_path):
    manifest = write_table(tmp_path, [draw_frame(seed) for seed in range(3)])
    before = sorted(tmp_path.rglob("*"))
    text = call("check", "--no-words", manifest)
    assert "Nothing was noticed" in text
    assert sorted(tmp_path.rglob("*")) == before


def test_a_frame_size_that_knows_the_label_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(confounding, "TREES", 10)
    labels = ["benign", "malignant"] * 12
    pictures = [
        draw_frame(number, 64 + 8 * (label == "malignant"), 96)
        for number, label in enumerate(labels)
    ]
    code, text = exit_code(write_table(tmp_path, pictures, label=labels))
    assert code == 3
    assert "Warning: frame size alone predicts the label" in " ".join(text.split())


def test_an_earlier_check_is_kept_unless_told_otherwise(tmp_path):
    manifest = write_table(tmp_path, [draw_frame(0), draw_frame(1)])
    out = tmp_path / "out"
    call("check", "--no-words", manifest, "--out", out)
    assert "Expected no earlier check" in refusal(
        "check", "--no-words", manifest, "--out", out
    )
    call("check", "--no-words", manifest, "--out", out, "--overwrite")


def test_a_full_disk_is_one_line_and_leaves_no_part(tmp_path):
    manifest = write_table(tmp_path, [draw_frame(0), draw_frame(1)])
    out = tmp_path / "out"
    with full_disk(100):
        assert "Cannot write" in refusal("check", "--no-words", manifest, "--out", out)
    assert list(out.iterdir()) == []


@pytest.mark.slow
def test_a_check_needs_no_tensorflow(tmp_path):
    manifest = write_table(tmp_path, [draw_frame(0), draw_frame(1)])
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from usgland.cli.main import cli; cli()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "--no-words", str(manifest)],
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_table_as_pandas_reads_it_keeps_every_cell(tmp_path):
    manifest = write_table(
        tmp_path,
        [draw_frame(0), draw_frame(1)],
        histology=['a, "b"', "c\nd"],
        age=["07", ""],
    )
    call("check", "--no-words", manifest, "--out", tmp_path / "out")
    table = pd.read_csv(tmp_path / "out/check.csv", dtype=str, keep_default_na=False)
    assert table["histology"].to_list() == ['a, "b"', "c\nd"]
    assert table["age"].to_list() == ["07", ""]
