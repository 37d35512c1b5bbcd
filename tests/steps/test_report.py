"""The report: one file that needs no other, marks phantoms, and is filled honestly."""

import json
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console
from scipy.special import expit

from usgland.config import dump_config, load_config
from usgland.errors import UserError
from usgland.evaluation.report.checklists import AUTHOR, CHECKLISTS
from usgland.evaluation.report.sections import LARGEST
from usgland.steps.evaluation import evaluate_run
from usgland.steps.report import report, write_report


@pytest.fixture(autouse=True)
def coarse_plots(monkeypatch):
    """Plots of few pixels are drawn sooner."""
    monkeypatch.setattr("usgland.evaluation.shown.plot_frame.DPI", 40)


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
    write_report(run, images=paths)
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
    with pytest.raises(UserError, match="no earlier report. Received: .*report.html"):
        report(run, [], Console(quiet=True))
    (run / "metrics.json").unlink()
    with pytest.raises(UserError, match="`usgland evaluate` comes first"):
        write_report(run)


def answers(html):
    """The answers of all checklists, of which those of the author are none."""
    texts = []
    for checklist in html.split("<h2>Checklist")[1:]:
        rows = re.findall("<tr>(.*?)</tr>", checklist)[1:]
        texts += [re.findall("<td.*?>(.*?)</td>", row)[2] for row in rows]
    assert len(texts) == sum(map(len, CHECKLISTS.values()))
    return [answer for answer in texts if answer != AUTHOR]


@pytest.mark.parametrize("has_all", [False, True], ids=["least", "all"])
def test_checklists_point_only_to_what_the_report_shows(tmp_path, has_all):
    run = make_run(tmp_path / "run")
    images = None
    Image.new("RGB", (64, 64)).save(tmp_path / "map.png")
    names = ("heatmaps/0.png", "heatmaps/sheet_1.png", "figures/saliency.png")
    names += ("readers/readers.png",) if has_all else ()
    for name in names if has_all else names[:1]:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes((tmp_path / "map.png").read_bytes())
    if has_all:
        for name in ("table1", "subgroups", "saliency", "comparison"):
            (run / "tables" / f"{name}.md").write_text(f"# {name}")
        (run / "metrics-clinic.json").write_text("{}")
        images = {f"{n}.png": str(tmp_path / "map.png") for n in range(80)}
    else:
        # Tables for a program, without those that the report shows.
        for path in [*run.glob("tables/*.md"), *run.glob("figures/*.png")]:
            path.unlink()
        (run / "tables" / "table1.csv").write_text("")
    write_report(run, images=images)
    html = read(run)
    shown = [unescape(name) for name in re.findall("<h2>(.*?)</h2>", html)]
    pointers = [answer for answer in answers(html) if "See" in answer]
    for answer in pointers:
        name = re.fullmatch(r"See (.+?)(: .*)?\.", unescape(answer))[1]
        assert name in shown or (run / name.removeprefix("the measures in ")).exists()
    expected = {"See Flow of patients."}
    if has_all:
        expected |= {
            "See Results: counts per image and per patient.",
            "See Results: per image and per patient, with intervals.",
            "See Worst errors.",
            "See Calibration and benefit.",
            "See Subgroups.",
            "See Table 1.",
            "See Where the model looked.",
            "See the measures in metrics-clinic.json.",
        }
    assert set(pointers) == expected


def test_a_report_too_large_for_a_mail_shows_no_heat_maps(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    (run / "heatmaps").mkdir()
    Image.new("RGB", (64, 64)).save(run / "heatmaps" / "sheet_1.png")
    write_report(run)
    assert "<h2>Heat maps</h2>" in read(run)
    assert "See Heat maps." in answers(read(run))
    monkeypatch.setattr("usgland.evaluation.report.sections.LARGEST", 1000)
    write_report(run)
    assert "Heat maps" not in read(run)


def test_runs_are_compared_at_the_level_of_the_first(tmp_path):
    level = ["evaluation.confidence_level=0.9", "data.manifest=none.csv"]
    runs = [make_run(tmp_path / name, overrides=level) for name in ("one", "two")]
    report(runs[0], runs[1:], Console(quiet=True))
    stored = json.loads((runs[0] / "tables" / "comparison.json").read_text())
    assert stored["level"] == 0.9


def test_each_run_beside_another_states_its_own_level(tmp_path):
    level = ["evaluation.confidence_level=0.9"]
    run, other = make_run(tmp_path / "a"), make_run(tmp_path / "b", overrides=level)
    write_report(run)
    assert "<p>95% intervals. Role test" in read(run)
    write_report(run, others=[other])
    rows = re.findall(r"<td>(a|b)</td><td>per patient, n = \d+(.*?)</td>", read(run))
    assert rows == [("a", ", intervals 95%"), ("b", ", intervals 90%")]
    assert "<p>95% intervals" not in read(run)
