"""Means with intervals over patients, the tables, and the verdict on a method."""

import io

import numpy as np
import pandas as pd
from rich.console import Console

from usgland.config import EvaluationSettings
from usgland.evaluation.shown.terminal import show
from usgland.explanation.faithfulness import (
    FIRST_LOOK,
    MEASURES,
    mean_over_patients,
    summarize,
)
from usgland.explanation.saliency_tables import (
    energy_plot,
    saliency_document,
    saliency_notes,
)

SETTINGS = EvaluationSettings(bootstrap_resamples=300)


def cases(shuffled=0.1):
    rng = np.random.default_rng(0)
    parts = []
    for method in ("gradcam", "centre"):
        rows = pd.DataFrame(
            {
                "image": [f"{i}.png" for i in range(20)],
                "patient_id": [f"P{i // 2}" for i in range(20)],
                "label": [i // 2 % 2 for i in range(20)],
                "method": method,
            }
        )
        for name in MEASURES:
            rows[name] = rng.random(20)
        rows["shuffled"] = shuffled if method == "gradcam" else np.nan
        rows["other_run"] = np.nan
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def test_the_interval_of_a_mean_is_that_of_redrawn_patients():
    rng = np.random.default_rng(0)
    patients = [f"P{i // 3}" for i in range(60)]
    values = rng.normal(size=20).repeat(3) + 0.1 * rng.normal(size=60)
    mean = mean_over_patients(values, patients, SETTINGS)
    assert mean["value"] == values.mean()
    drawn = []
    for _ in range(4000):
        chosen = rng.integers(0, 20, 20)
        drawn.append(np.concatenate([values[3 * i : 3 * i + 3] for i in chosen]).mean())
    np.testing.assert_allclose(
        [mean["low"], mean["high"]], np.quantile(drawn, [0.025, 0.975]), atol=0.1
    )
    assert mean["n"] == 60


def test_undefined_values_are_left_out_and_counted():
    mean = mean_over_patients(np.array([1.0, np.nan, 3.0]), ["a", "b", "c"], SETTINGS)
    assert (mean["value"], mean["n"]) == (2.0, 2)
    undefined = mean_over_patients(np.array([np.nan]), ["a"], SETTINGS)
    assert np.isnan(undefined["value"])
    assert undefined["interval"] == "none: no case in which it is defined"


def test_the_summary_has_every_method_measure_and_label():
    rows = cases()
    table = summarize(rows, SETTINGS)
    deletion = table.set_index(["method", "measure", "group"]).loc[
        ("gradcam", "deletion", "malignant")
    ]
    malignant = rows[(rows["method"] == "gradcam") & (rows["label"] == 1)]
    np.testing.assert_allclose(deletion["value"], malignant["deletion"].mean())
    assert "other_run" not in set(table["measure"])
    assert not ((table["method"] == "centre") & (table["measure"] == "shuffled")).any()


def test_a_map_that_does_not_need_the_weights_is_called_useless():
    for shuffled, useless in ((0.8, True), (0.2, False)):
        table = summarize(cases(shuffled), SETTINGS)
        notes = saliency_notes(table, label="malignant", size=224, role="test")
        assert notes[0].startswith("USELESS: gradcam") is useless
        assert FIRST_LOOK in notes
        text = saliency_document(table, notes, synthetic=True).markdown()
        assert text.startswith("**SYNTHETIC")
        assert ("USELESS" in text) is useless


def test_the_tables_fit_80_columns_a_line_a_measure():
    table = summarize(cases(), SETTINGS)
    notes = saliency_notes(table, label="malignant", size=224, role="test")
    console = Console(file=io.StringIO(), width=80)
    show(saliency_document(table, notes, synthetic=False), console)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for name in set(MEASURES) - {"other_run", "shuffled"}:  # one value, or none
        first = MEASURES[name].split()[0]
        assert any(first in line and line.count(" to 0.") == 3 for line in lines)


def test_the_plot_shows_each_method_and_label_and_nothing_without_masks():
    table = summarize(cases(), SETTINGS)
    plot = energy_plot(table, synthetic=False)
    names = [label.get_text() for label in plot.axes[0].get_yticklabels()]
    assert names[:2] == ["gradcam, benign", "gradcam, malignant"]
    # The first bar has no shares where all its maps are of zeros.
    rows = cases()
    rows.loc[rows["label"] == 0, ["inside", "border", "outside", "padding"]] = np.nan
    (legend,) = energy_plot(summarize(rows, SETTINGS), synthetic=False).legends
    regions = [text.get_text() for text in legend.get_texts()]
    assert regions == ["inside the lesion", "border band", "elsewhere", "padding"]
    without = cases()
    without[["pointing", "overlap", "inside", "border", "outside", "padding"]] = np.nan
    table = summarize(without, SETTINGS)
    assert energy_plot(table, synthetic=False) is None
    notes = saliency_notes(table, label="malignant", size=224, role="test")
    assert any("No masks of the lesions" in note for note in notes)
