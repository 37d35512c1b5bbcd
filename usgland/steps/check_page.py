"""The page and the lines on a terminal that show what `check` noticed."""

import base64
import io
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from usgland.data.images import UnusableError
from usgland.evaluation.report.page_parts import page, table
from usgland.evaluation.shown.table import Document, Paragraph, Table, rows
from usgland.quality.confounding import SUSPICIOUS, Confounder, warning_of
from usgland.quality.frames import read_frame
from usgland.quality.image_findings import KINDS, LEVELS, SERIOUS, Finding

if TYPE_CHECKING:  # It imports this module.
    from usgland.steps.check import Checked

PIXELS = 260  # of a picture's longer side
WITHOUT_PICTURES = ("file", "record")
MOST_PAIRS, MOST_PICTURES = 150, 48  # that are shown of copies, and of another kind


def check_document(checked: "Checked") -> Document:
    """What a terminal shows: counts of findings, and what predicts the label."""
    blocks: list[Table | Paragraph] = []
    counted = _counts(checked)
    if counted:
        heads = ("finding", "level", "images")
        blocks.append(Table(heads, (rows(counted),), align="llr"))
    else:
        blocks.append(Paragraph("Nothing was noticed of the images."))
    blocks.append(Paragraph(f"Images looked at: {len(checked.rows)}"))
    blocks += [Paragraph(text) for text in sentences(checked)]
    if checked.confounders:
        title = "What alone predicts the label, though it is no finding of a lesion"
        heads = ("property", "AUC (95% interval)", "images")
        cells = (rows(_confounder_cells(checked.confounders)),)
        blocks.append(Table(heads, cells, title=title, align="lll"))
    for confounder in checked.confounders:
        if confounder.is_suspicious:
            blocks.append(Paragraph(warning_of(confounder), bold=True))
    if checked.unasked:
        blocks.append(Paragraph(checked.unasked))
    return Document(tuple(blocks), checked.synthetic)


def _counts(checked: "Checked") -> list[tuple[str, str, str]]:
    """Kind of finding, level, and images with it."""
    images = {
        (finding.kind, finding.level, finding.row) for finding in checked.findings
    }
    counts = Counter((kind, level) for kind, level, _ in images)
    return [
        (KINDS[kind], LEVELS[level], str(counts[kind, level]))
        for kind in KINDS
        for level in range(SERIOUS, -1, -1)
        if counts[kind, level]
    ]


def sentences(checked: "Checked") -> list[str]:
    """What the counts leave open: copies of whom, what was not known or looked for."""
    texts = _pair_sentences(checked)
    if checked.unnamed:
        texts.append(
            f"Images without a patient_id: {len(checked.unnamed)}. Each was taken for "
            "a patient of its own; fill it in before `usgland fit`"
        )
    if not checked.words:
        texts.append("Words in the pictures were not looked for (--words)")
    return texts


def _pair_sentences(checked: "Checked") -> list[str]:
    pairs = [copy.pair for copy in checked.copies]
    if not pairs:
        return []
    labels = checked.rows["label"].to_list()
    patients = checked.rows["patient_id"].to_list()
    kinds = Counter(pair.kind for pair in pairs)
    other = sum(patients[pair.first] != patients[pair.second] for pair in pairs)
    conflicts = sum(labels[pair.first] != labels[pair.second] for pair in pairs)
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return [
        f"Pairs of copies: {len(pairs)} ({listed}); {other} between patients, "
        f"{conflicts} with different labels"
    ]


def _confounder_cells(confounders: Sequence[Confounder]) -> list[tuple[str, str, str]]:
    return [
        (c.name, f"{c.roc_auc:.2f} ({c.low:.2f} to {c.high:.2f})", c.detail)
        for c in confounders
    ]


def check_page(checked: "Checked", manifest: Path) -> str:
    """One HTML file with pictures of what was noticed; it needs no other file."""
    counted = _counts(checked)
    summary = f"<p>{len(checked.rows)} images of {escape(str(manifest))}. "
    summary += "Nothing was deleted or changed: look, then decide.</p>"
    if counted:
        summary += table(counted, ("finding", "level", "images"))
    summary += "".join(f"<p>{escape(text)}</p>" for text in sentences(checked))
    sections = [("Summary", summary), ("What predicts the label", _asked(checked))]
    sections.append(("Copies", _copies(checked)))
    for kind, meaning in KINDS.items():
        of_kind = [each for each in checked.findings if each.kind == kind]
        if kind in WITHOUT_PICTURES:
            sections.append((meaning, _lines(checked, of_kind)))
        elif kind != "copy":
            sections.append((meaning, _pictures(checked, of_kind)))
    return page("Images checked", sections, synthetic=checked.synthetic)


def _asked(checked: "Checked") -> str:
    if checked.unasked:
        return f"<p>{escape(checked.unasked)}</p>"
    if not checked.confounders:
        return ""
    text = "".join(
        f'<p class="warning">{escape(warning_of(confounder))}</p>'
        for confounder in checked.confounders
        if confounder.is_suspicious
    )
    heads = ("property", "AUC (95% interval)", "images")
    text += table(_confounder_cells(checked.confounders), heads)
    return text + (
        f"<p>Each property alone, asked for the label: above {SUSPICIOUS} with an "
        "interval that leaves 0.5 out it is a warning. 0.5 is chance.</p>"
    )


def _copies(checked: "Checked") -> str:
    parts = []
    for pair, level, why in sorted(checked.copies, key=lambda copy: -copy.level)[
        :MOST_PAIRS
    ]:
        title = f"{LEVELS[level]}: {pair.kind}{why}; correlation {pair.correlation:.2f}"
        both = _figure(checked, pair.first) + _figure(checked, pair.second)
        parts.append(
            f'<figure><div class="row">{both}</div>'
            f"<figcaption>{escape(title)}</figcaption></figure>"
        )
    more = _more(len(checked.copies), MOST_PAIRS)
    return f'<div class="row">{"".join(parts)}</div>{more}' if parts else ""


def _lines(checked: "Checked", findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    images = checked.rows["image"].to_list()
    cells = [(images[finding.row], finding.text) for finding in findings]
    return table(cells[:1000], ("image", "what")) + _more(len(cells), 1000)


def _pictures(checked: "Checked", findings: Sequence[Finding]) -> str:
    shown = "".join(
        _figure(checked, finding.row, finding.text)
        for finding in findings[:MOST_PICTURES]
    )
    more = _more(len(findings), MOST_PICTURES)
    return f'<div class="row">{shown}</div>{more}' if shown else ""


def _more(count: int, shown: int) -> str:
    return f"<p>And {count - shown} more: see check.csv</p>" if count > shown else ""


def _figure(checked: "Checked", row: int, text: str = "") -> str:
    """A small picture with the image's name, patient and label."""
    known = checked.rows.iloc[row]
    caption = ", ".join(filter(None, [known["image"], known["label"], text]))
    try:
        picture = Image.fromarray(read_frame(known["image_path"]).colour)
    except UnusableError:  # It was removed meanwhile.
        return f"<p>{escape(caption)}</p>"
    picture.thumbnail((PIXELS, PIXELS))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<figure style="max-width: {PIXELS}px">'
        f'<img alt="{escape(caption)}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
