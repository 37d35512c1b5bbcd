"""What a table itself says of a patient that may be a reason to leave an image out."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from usgland.data.columns import BOX
from usgland.quality.confounding import CIRCUMSTANCES
from usgland.quality.image_findings import (
    INCOMPLETE_RECORD,
    INFLAMMATORY,
    NOTE,
    POOR_IMAGE,
    TREATED,
    Finding,
)
from usgland.table_files import ROW, is_missing, normalize_name, normalize_word

DIAGNOSES = ("histology", "diagnosis", "pathology")
INFLAMED = re.compile(
    r"inflam|itis\b|abscess|granulomatous|tubercul|infect", re.IGNORECASE
)
TREATMENTS = ("treated", "prior_treatment", "previous_treatment", "treatment_before")
NO = {"0", "no", "n", "false", "none", "-"}
# Columns that describe files, parts and patients, not what is known of a patient.
NOT_CLINICAL = {
    *(*BOX, ROW, "image", "mask", "patient_id", "group_id", "label", "split", "fold"),
    *("exclusion", "synthetic", "image_path", *CIRCUMSTANCES),
    *("frame_width", "frame_height", "dataset", "frame", "study_id", "marks"),
}
LESION_EDGE = 1.0  # pixels from the border, where a lesion is cut


def read_records(rows: pd.DataFrame, form: Sequence[str]) -> list[Finding]:
    """What columns say of treatment, inflammation and values that are missing.

    Args:
        rows: The table, as texts.
        form: Columns of the clinical form that are in it.
    """
    findings = []
    names = {normalize_name(name).replace(" ", "_"): str(name) for name in rows.columns}
    for row, known in enumerate(rows.to_dict("records")):
        for column in (names[name] for name in TREATMENTS if name in names):
            if (
                not is_missing(known[column])
                and normalize_word(known[column]) not in NO
            ):
                text = f"{column}: {known[column]}"
                findings.append(Finding(row, "record", text, NOTE, TREATED))
        for column in (names[name] for name in DIAGNOSES if name in names):
            if INFLAMED.search(str(known[column])):
                text = f"{column}: {known[column]}"
                findings.append(Finding(row, "record", text, NOTE, INFLAMMATORY))
        lacking = [name for name in form if is_missing(known[name])]
        if lacking:
            text = f"no {', '.join(lacking)}"
            findings.append(Finding(row, "record", text, NOTE, INCOMPLETE_RECORD))
    return findings


def clinical_columns(rows: pd.DataFrame) -> list[str]:
    """Columns of what is known of a patient, some of it missing for some."""
    return [str(n) for n in rows.columns if str(n).lower() not in NOT_CLINICAL]


def cut_lesions(
    boxes: Mapping[int, tuple[float, ...]], rows: pd.DataFrame
) -> list[Finding]:
    """Lesions that reach the border of their picture, by rows.

    Args:
        boxes: Left, top, width and height in pixels, by the number of the row.
        rows: With `frame_width` and `frame_height`.
    """
    findings = []
    for row, (left, top, width, height) in boxes.items():
        right = rows["frame_width"].iloc[row] - left - width
        bottom = rows["frame_height"].iloc[row] - top - height
        if min(left, top, right, bottom) < LESION_EDGE:
            text = "its mark reaches the border"
            findings.append(Finding(row, "cut", text, NOTE, POOR_IMAGE))
    return findings
