"""What a table itself says of a patient that may be a reason to leave an image out."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from usgland.config import Config
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
from usgland.schema import LEAKS
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
FEWEST_COLUMNS = 2  # of the form in a table, for it to be that of the table
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


def clinical_columns(rows: pd.DataFrame, config: Config) -> list[str]:
    """Columns of what was known of a patient: those of the form, where it has some.

    Else all that do not describe files and parts, but for those that know the label.
    """
    names = [str(name) for name in rows.columns]
    of_form = [name for name in config.clinical.used() if name in names]
    if len(of_form) >= FEWEST_COLUMNS:
        return of_form
    return [
        name
        for name in names
        if normalize_name(name) not in NOT_CLINICAL
        and not LEAKS.search(re.sub(r"\W", "_", name.lower()))
    ]


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
