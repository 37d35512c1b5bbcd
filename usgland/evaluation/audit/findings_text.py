"""The findings of an audit, in words and tables."""

from typing import Any

from usgland.evaluation.audit.published_tables import ALL
from usgland.evaluation.shown.table import Document, Paragraph, Table, rows
from usgland.evaluation.shown.text import format_number, format_percent, known_number

NOTE = (
    "What cannot be obtained from the printed figures may come from other cases, other "
    "tests, a mean over several test sets, or a misprint: only the authors know."
)
ROUNDING = {
    "either": "Last decimals may be rounded or truncated.",
    "rounded": "Last decimals are rounded.",
    "truncated": "Last decimals are truncated.",
}


def audit_document(audit: dict[str, Any]) -> Document:
    """The findings as `find_all` gives them, then what fits."""
    misfits = [finding for finding in audit["findings"] if not finding["fits"]]
    count = f"{len(misfits)} finding{'' if len(misfits) == 1 else 's'}"
    heading = f"{audit['title']}: {count} in {len(audit['findings'])} checks"
    blocks: list[Paragraph | Table] = [Paragraph(heading, bold=True)]
    # Those of the P values of tables stand in a table.
    p_values = [x for x in misfits if x["kind"] == "p_value" and x["where"] != ALL]
    numbered = [x for x in misfits if x not in p_values]
    for number, finding in enumerate(numbered, start=1):
        blocks.append(Paragraph(f"{number}. {finding['where']}", bold=True))
        sentence = f"{finding['text'][0].upper()}{finding['text'][1:]}."
        blocks.append(Paragraph(sentence, depth=1))
        blocks += [Paragraph(text, depth=2) for text in finding["tried"]]
    if p_values:
        lines = (
            (
                f"{finding['where']}: {finding['text'].split(' cannot')[0]}",
                "; ".join(finding["tried"]),
            )
            for finding in p_values
        )
        title = "P values that cannot be obtained from their rows"
        heads = ("Printed", "Recomputed")
        blocks.append(Table(heads, (rows(lines),), title=title, align="ll"))
    fitting = _fitting(audit)
    if fitting:
        blocks.append(Paragraph(f"Nothing against {len(fitting)} others:", bold=True))
        blocks += [
            Paragraph(f"{finding['where']}: {finding['text']}.", depth=1)
            for finding in fitting
        ]
    if audit["predictive"]:
        blocks.append(_predictive_table(audit))
    notes = (f"{ROUNDING[audit['rounding']]} {NOTE}",)
    return Document(tuple(blocks), synthetic=False, notes=notes)


def _fitting(audit: dict[str, Any]) -> list[dict[str, Any]]:
    """What fits; the rows whose counts sum to n as one."""
    fitting = [finding for finding in audit["findings"] if finding["fits"]]
    others = [finding for finding in fitting if finding["kind"] != "sum"]
    sums = len(fitting) - len(others)
    if sums:
        where = f"Sums of {sums} row{'' if sums == 1 else 's'}"
        others.append({"where": where, "text": "the counts sum to n"})
    return others


def _predictive_table(audit: dict[str, Any]) -> Table:
    prevalences = dict.fromkeys(pair["prevalence"] for pair in audit["predictive"])
    by_row: dict[str, list[str]] = {}
    for pair in audit["predictive"]:
        shown = [
            "-" if known_number(pair[key]) is None else format_number(pair[key])
            for key in ("ppv", "npv")
        ]
        by_row.setdefault(pair["row"], []).append(" / ".join(shown))
    return Table(
        heads=("", *map(format_percent, prevalences)),
        sections=(rows((name, *cells) for name, cells in by_row.items()),),
        title="PPV / NPV by prevalence",
    )
