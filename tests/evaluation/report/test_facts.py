"""What a report says of the settings."""

import pandas as pd

from usgland.config import load_config
from usgland.evaluation.report.facts import _ensemble, _threshold, describe_model


def test_pictures_and_views_have_their_sizes():
    for size, expected in (
        ("auto", "Pictures of 320 x 320 pixels, seen in views of 224 x 224, aspect"),
        ("224", "Pictures of 224 x 224 pixels, aspect"),
    ):
        config = load_config(None, [f"preprocessing.picture_size={size}"])
        facts = dict(describe_model(config, {}))
        assert facts["Image"].startswith(expected)


def test_what_was_chosen_out_of_fold_is_said_to_be():
    said = "P(malignant) >= 0.4000, chosen on out-of-fold images, then frozen."
    assert _threshold({"threshold": 0.4, "chosen_on": "out-of-fold images"}) == said
    folds = {"threshold": {"0": 0.4}, "chosen_on": "out-of-fold images"}
    assert _threshold(folds) == (
        "One threshold a fold, each chosen on out-of-fold images of the other folds."
    )
    assert "chosen on validation," in _threshold({"threshold": 0.4})
    settings = load_config(None, ["split.val_fraction=0"])
    assert dict(describe_model(settings, {}))["Kept"] == "the last epoch"


def test_a_network_that_folds_taught_is_said_to_be():
    settings = load_config(None, ["split.file=/runs/busi/splits.csv"])
    splits = pd.DataFrame({"image": ["a.png"], "teacher_logit": ["1.0"]})
    assert "taught by the folds of busi" in _ensemble(settings, splits)
    assert _ensemble(settings, splits[["image"]]) == (
        "No ensemble: one model (a fold)."
    )
