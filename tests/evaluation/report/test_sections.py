"""The report: one file that needs no other, marks phantoms, and is filled honestly."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit

from usgland.config import dump_config, load_config
from usgland.errors import UserError
from usgland.evaluation.report.checklists import AUTHOR, CHECKLISTS, CLAIM, Item, fill
from usgland.evaluation.report.flow import Excluded, describe_rows, flow_svg
from usgland.evaluation.report.page_parts import markdown, page, picture, table
from usgland.evaluation.report.sections import LARGEST, write_report
from usgland.steps.evaluation import evaluate_run


def make_run(folder, *, synthetic=False, folds=False, overrides=()):
    folder.mkdir()
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(40), 2)
    label = patient % 2
    logit = label * 2.0 - 1 + rng.normal(size=80)
    role = np.where(patient < 8, "train", np.where(patient < 14, "val", "test"))
    rows = pd.DataFrame(
        {
            "image": [f"{n}.png" for n in range(80)],
            "patient_id": [f"P{n}" for n in patient],
            "group_id": "",
            "role": "" if folds else role,
            "fold": patient // 2 % 2 if folds else "",
            "label": label,
            "probability": expit(logit),
            "logit": logit,
            "synthetic": int(synthetic),
        }
    )
    rows.drop(columns=["probability", "logit"]).to_csv(
        folder / "splits.csv", index=False
    )
    rows.assign(role="test" if folds else role).to_csv(
        folder / "predictions.csv", index=False
    )
    point = {"threshold": 0.5}
    point = {"folds": {"0": point, "1": point}} if folds else point
    (folder / "threshold.json").write_text(json.dumps(point))
    config = load_config(
        None, ["evaluation.bootstrap_resamples=50", "model.weights=null", *overrides]
    )
    (folder / "config.yaml").write_text(dump_config(config))
    environment = {
        "python": "3.11.7",
        "platform": "Linux",
        "usgland": "0.1.0",
        "packages": {"keras": "3.15"},
        "devices": ["CPU"],
        "git_commit": "abc",
        "command": "usgland fit <b>",
        "synthetic": synthetic,
        "training_seconds": 12.0,
        "parameters": 723009,
        "model_bytes": 3047651,
        "seconds_per_image": 0.004,
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    evaluate_run(folder)
    return folder


def read(run):
    return (run / "report.html").read_text()


def test_a_report_needs_no_other_file_and_shows_what_the_run_has(tmp_path):
    run = make_run(tmp_path / "run")
    written = write_report(run)
    assert [path.name for path in written] == ["report.html", "model_card.md"]
    html = read(run)
    assert len(html.encode()) < LARGEST
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    for name in ("Summary", "Flow of patients", "Model", "Results", "To repeat it"):
        assert f"<h2>{name}</h2>" in html
    for name in CHECKLISTS:
        assert f"<h2>Checklist: {name}</h2>" in html
    assert "SYNTHETIC" not in html
    assert "723,009" in html and "3.05 MB" in html
    assert "usgland fit &lt;b&gt;" in html  # escaped, not run
    assert html.count("data:image/png") == 4
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"{metrics['patient']['figures']['roc_auc']['value']:.3f} (" in html
    card = (run / "model_card.md").read_text()
    assert card.startswith("# Model card: run")
    assert "| ROC AUC |" in card and AUTHOR in card


def test_phantoms_are_marked_on_every_page(tmp_path):
    run = make_run(tmp_path / "run", synthetic=True)
    write_report(run)
    html = read(run)
    assert html.count('<div class="synthetic">SYNTHETIC DATA') == 2
    assert "position: fixed" in html  # repeated on each printed page
    assert "**SYNTHETIC" in (run / "model_card.md").read_text()


def test_errors_are_shown_with_their_images_only_where_they_are_given(tmp_path):
    run = make_run(tmp_path / "run")
    pixels = np.random.default_rng(0).integers(0, 255, (400, 500), dtype="uint8")
    Image.fromarray(pixels).save(tmp_path / "image.png")
    write_report(run)
    assert "Worst errors" not in re.sub("<td>.*?</td>", "", read(run))
    paths = {f"{n}.png": str(tmp_path / "image.png") for n in range(80)}
    write_report(run, images=paths, overwrite=True)
    html = read(run)
    rows = pd.read_csv(run / "predictions.csv").query("role == 'test'")
    wrong = rows[(rows["probability"] >= 0.5) != rows["label"]]
    for label, title in ((1, "Malignant, called benign"), (0, "Benign, called mali")):
        count = int((wrong["label"] == label).sum())
        assert re.search(rf"{title}\w*: {count} images", html)
    assert html.count("data:image/jpeg") == len(wrong) <= 16


def test_several_runs_stand_side_by_side(tmp_path):
    runs = [make_run(tmp_path / name) for name in ("one", "two")]
    write_report(runs[0], others=runs[1:])
    assert read(runs[0]).count("<td>two</td>") == 2
    assert not (runs[1] / "report.html").exists()


def test_a_cross_validation_has_a_report(tmp_path):
    run = make_run(tmp_path / "cv", folds=True)
    write_report(run)
    assert "One threshold a fold" in read(run)
    assert ">Fold 1<" in read(run)


def test_a_forced_leak_and_few_patients_stand_first(tmp_path):
    leak = "{birads: {kind: yes_no, role: image_read}}"
    run = make_run(
        tmp_path / "run",
        overrides=(
            f"clinical.columns={leak}",
            "clinical.allow_leaks=[birads]",
            "model.inputs=clinical",
        ),
    )
    write_report(run)
    html = read(run)
    assert html.index("may know the label (birads)") < html.index("<h2>Flow")


def test_a_report_is_not_overwritten_and_needs_an_evaluated_run(tmp_path):
    run = make_run(tmp_path / "run")
    write_report(run)
    with pytest.raises(UserError, match="Add --overwrite to make it again"):
        write_report(run)
    (run / "report.html").unlink()
    (run / "metrics.json").unlink()
    with pytest.raises(UserError, match="`usgland evaluate` comes first"):
        write_report(run)


def test_the_flow_counts_patients_and_images(tmp_path):
    rows = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "c"],
            "label": [0, 0, 1, 0],
            "role": ["train", "train", "val", "test"],
        }
    )
    assert describe_rows(rows) == [
        "3 patients, 4 images",
        "benign: 2 patients, 3 images",
        "malignant: 1 patients, 1 images",
    ]
    svg = flow_svg(rows, [Excluded("label <normal>", 5, 4)])
    for text in ("9 images", "5 images, 4 patients: label &lt;normal&gt;", "Training"):
        assert text in svg
    assert "Not used" not in svg


def test_a_checklist_says_what_the_run_knows_and_what_the_author_must_supply():
    items = (Item("1", "a", "known"), Item("2", "b", "empty"), Item("3", "c"))
    assert fill(items, {"known": "yes", "empty": ""}) == [
        ("1", "a", "yes"),
        ("2", "b", AUTHOR),
        ("3", "c", AUTHOR),
    ]
    numbers = [part for item in CLAIM for part in item.number.split("-")]
    assert numbers[0] == "1" and numbers[-1] == "44"


def test_markdown_of_a_table_becomes_html_and_tags_in_it_do_not_run():
    html = markdown("| a<br>b | c |\n|---|---|\n| <script>x</script> | d |\n")
    assert "<th>a<br>b</th>" in html
    assert "<script>" not in html
    assert "<td>&lt;i&gt;</td>" in table([("<i>",)])


def test_sections_without_content_are_left_out():
    html = page("t", [("Empty", ""), ("Full", "<p>x</p>")], synthetic=False)
    assert "Empty" not in html and '<a href="#s0">Full</a>' in html


def test_a_large_picture_is_made_smaller(tmp_path):
    Image.new("RGB", (3000, 2000), "white").save(tmp_path / "x.png")
    assert len(picture(tmp_path / "x.png", "x")) < 20_000
