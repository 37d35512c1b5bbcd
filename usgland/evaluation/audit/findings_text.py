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
    """The findings, then what fits.

    Args:
        audit: As `find_all` gives it.
    """
    blocks: list[Paragraph | Table] = [
        Paragraph(f"{audit['title']}: {_counts(audit)}", bold=True)
    ]
    for number, finding in enumerate(_listed(audit), start=1):
        blocks.append(Paragraph(f"{number}. {finding['where']}", bold=True))
        blocks.append(Paragraph(_sentence(finding), depth=1))
        blocks += [Paragraph(text, depth=2) for text in finding["tried"]]
    p_values = _p_values(audit)
    if p_values:
        blocks.append(
            Table(
                heads=("Printed", "Recomputed"),
                sections=(rows(p_values),),
                title="P values that cannot be obtained from their rows",
                align="ll",
            )
        )
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


def _misfits(audit: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding for finding in audit["findings"] if not finding["fits"]]


def _listed(audit: dict[str, Any]) -> list[dict[str, Any]]:
    """The findings that are numbered: those of P values of tables stand in a table."""
    return [
        finding
        for finding in _misfits(audit)
        if finding["kind"] != "p_value" or finding["where"] == ALL
    ]


def _p_values(audit: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f"{finding['where']}: {finding['text'].split(' cannot')[0]}",
            "; ".join(finding["tried"]),
        )
        for finding in _misfits(audit)
        if finding["kind"] == "p_value" and finding["where"] != ALL
    ]


def _fitting(audit: dict[str, Any]) -> list[dict[str, Any]]:
    """What fits; the rows whose counts sum to n as one."""
    fitting = [finding for finding in audit["findings"] if finding["fits"]]
    sums = [finding for finding in fitting if finding["kind"] == "sum"]
    others = [finding for finding in fitting if finding["kind"] != "sum"]
    if sums:
        where = f"Sums of {len(sums)} row{'' if len(sums) == 1 else 's'}"
        others.append({"where": where, "text": "the counts sum to n"})
    return others


def _sentence(finding: dict[str, Any]) -> str:
    return f"{finding['text'][0].upper()}{finding['text'][1:]}."


def _counts(audit: dict[str, Any]) -> str:
    misfits = len(_misfits(audit))
    plural = "" if misfits == 1 else "s"
    return f"{misfits} finding{plural} in {len(audit['findings'])} checks"


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
