"""The table of checks of converted files."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from usgland.evaluation.shown.table import Document, Table, rows
from usgland.serving.portable.file_checks import ALL, MOST_AUC_LOSS, ONE


def checks_document(sheet: Mapping[str, Any]) -> Document:
    """The table of checks, of what `model.json` holds."""
    counts, run = sheet["validation"], sheet["run"]
    cells = ("", "", f"{run['roc_auc']:.4f}", "", f"{run[ALL]:.2f}")
    lines = [("run, TensorFlow", *cells)]
    for name, file in sheet["files"].items():
        cells = (
            f"{file['bytes'] / 1000:.0f}",
            _number(file["max_difference"], ".1g"),
            _number(file["roc_auc"], ".4f"),
            _number(file[ONE], ".2f"),
            _number(file[ALL], ".2f"),
        )
        lines.append((name, *cells))
    heads = ("", "kB", "largest\ndifference", "AUC\nper image", "ms\n1 thread")
    table = Table(
        heads=(*heads, f"ms\n{sheet['threads']} threads"),
        sections=(rows(lines),),
        title=f"Against the run, on {counts['images']} {_word(sheet)} images "
        f"({counts['malignant']} malignant, {counts['patients']} patients)",
        notes=tuple(_notes(sheet)),
    )
    return Document((table,), sheet["trained_on"]["synthetic"])


def _notes(sheet: Mapping[str, Any]) -> Sequence[str]:
    counts, run = sheet["validation"], sheet["run"]
    lines = [
        "Largest difference of P(malignant); median milliseconds without reading the "
        "image, measured in turns"
    ]
    step = 1 / (counts["malignant"] * (counts["images"] - counts["malignant"]))
    if step > MOST_AUC_LOSS:
        lines.append(
            f"Few {_word(sheet)} images: one pair that swaps moves the AUC by "
            f"{step:.3f}, and {MOST_AUC_LOSS} is the most that it may lose"
        )
    shares = [
        f"{name} " + ", ".join(f"{file[key] / run[ALL]:.2f}" for key in (ONE, ALL))
        for name, file in sheet["files"].items()
        if not math.isnan(file[ALL])  # else it does not run
    ]
    lines.append(
        f"Time as a share of TensorFlow's, with 1 and {sheet['threads']} threads: "
        + "; ".join(shares)
    )
    made = sheet["preprocess.py"]
    if made is None:
        return lines
    read = made["images"] - made["unread"]
    line = f"preprocess.py makes the same pixels of {made['equal']} of {read} images"
    if made["equal"] < read:
        line += (
            f"; elsewhere at most {made['largest_share']:.2%} of the pixels differ, "
            f"and P(malignant) by {made['max_difference']:.1g}"
        )
    lines.append(line)
    if made["unread"]:
        lines.append(
            f"preprocess.py refuses {made['unread']} others, which Pillow reads "
            "otherwise than the model does"
        )
    return lines


def _word(sheet: Mapping[str, Any]) -> str:
    return "training" if sheet["validation"].get("role") == "train" else "validation"


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
