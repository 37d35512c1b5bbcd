"""What `explain` may be asked for; without TensorFlow, so that the command knows it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

# `lesion` is no evidence, but where the model's own head sees the lesion.
LESION = "lesion"
METHODS = ("gradcam", "gradcam++", "scorecam", "scorecam_fast", "smoothgrad", LESION)
LABELS = ("benign", "malignant")
# Name -> colour map of Matplotlib. The paper's has red for high and blue for low;
# cividis reads the same without colour vision.
COLOURS = {"paper": "jet", "cividis": "cividis"}


class ExplanationChoices(NamedTuple):
    """Which cases are explained, how they are drawn, and what is measured.

    Attributes:
        manifest: Labelled images of another source, all of them in the role `test`;
            what is written then stands in `explain-NAME` of the run.
        cases: Images, their file names without suffix, or patients; none: all.
        methods: Of `METHODS`.
        label: Of `LABELS`: for which the maps are evidence.
        colours: Key of `COLOURS`.
        role: Which images of the run.
        limit: Pictures of single cases, the greatest errors first.
        faithfulness: Whether to measure the maps.
        other: A run, as of another seed, whose maps are compared with these.
        shortcuts: Whether to ask the model without the lesion and the like.
        overwrite: Whether earlier files may be replaced.
    """

    manifest: Path | None = None
    cases: Sequence[str] = ()
    methods: Sequence[str] = ("gradcam",)
    label: str = "malignant"
    colours: str = "paper"
    role: str = "test"
    limit: int = 24
    faithfulness: bool = False
    other: Path | None = None
    shortcuts: bool = False
    overwrite: bool = False
