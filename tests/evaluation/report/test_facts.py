"""What a report says of the settings."""

from usgland.config import load_config
from usgland.evaluation.report.facts import describe_model


def test_pictures_and_views_have_their_sizes():
    for size, expected in (
        ("auto", "Pictures of 320 x 320 pixels, seen in views of 224 x 224, aspect"),
        ("224", "Pictures of 224 x 224 pixels, aspect"),
    ):
        config = load_config(None, [f"preprocessing.picture_size={size}"])
        facts = dict(describe_model(config, {}))
        assert facts["Image"].startswith(expected)
