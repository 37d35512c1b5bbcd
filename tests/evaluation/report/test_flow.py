import pandas as pd

from usgland.evaluation.report.flow import Excluded, describe_rows, flow_svg


def test_the_flow_counts_patients_and_images():
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
