"""The audit on the terminal and as Markdown: findings first, what agrees after."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from usgland.evaluation.audit_rows import Finding

if TYPE_CHECKING:
    from usgland.evaluation.audit import Audit

HEADS = {
    "cases": "Numbers of cases",
    "matrix": "Confusion matrices",
    "f1": "Kind of F1",
    "auc": "Area under the curve",
    "comparison": "P values of comparisons",
    "sum": "Sums of counts",
    "p_value": "P values of tables",
    "repeated": "Printed more than once",
}
ROUNDINGS = {
    "either": "rounded or truncated; both were tried",
    "rounded": "rounded",
    "truncated": "truncated",
}
# What was tried is a list of numbers there, and stands in the sentence.
RUN_ON = ("auc", "comparison", "p_value")
NOTE = (
    "A finding says that printed figures cannot be obtained from each other by what "
    "was tried. It does not say why: a slip of the pen, other cases, means over folds "
    "and a test that is not named are all possible."
)
PREDICTIVE = "PPV / NPV at other prevalences, from the printed figures"


def print_audit(found: "Audit", console: Console) -> None:
    """Shows the audit in 80 columns."""
    console.print(Text(f"Audit of {found.title}", style="bold"))
    console.print(Text(_summary(found)))
    for head, findings in _sections(found):
        console.print(Text(f"\n{head}", style="bold"))
        for one in findings:
            where, text, tried = _texts(one)
            line = Text.assemble((where, "bold"), f" {text}" if where else text)
            console.print(Padding(line, (0, 0, 0, 2), expand=False))
            for each in tried:
                console.print(
                    Padding(Text(each, style="dim"), (0, 0, 0, 6), expand=False)
                )
    if found.predictive:
        console.print()
        console.print(_predictive_table(found))
    console.print(Text(f"\n{NOTE}"))


def audit_markdown(found: "Audit") -> str:
    """The same as Markdown."""
    lines = [f"# Audit of {found.title}", "", _summary(found)]
    for head, findings in _sections(found):
        lines += ["", f"## {head}", ""]
        for one in findings:
            where, text, tried = _texts(one)
            lines.append(f"- **{where}** {text}" if where else f"- {text}")
            lines += [f"  - {each}" for each in tried]
    if found.predictive:
        heads, rows = _predictive_rows(found)
        lines += ["", f"## {PREDICTIVE}", "", f"| {' | '.join(heads)} |"]
        lines.append("|---" + "|---:" * (len(heads) - 1) + "|")
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", NOTE]) + "\n"


def _summary(found: "Audit") -> str:
    misfits = sum(not one.fits for one in found.findings)
    checks = len(found.findings)
    return (
        f"{checks} checks, {misfits} with a finding. Last decimals: "
        f"{ROUNDINGS[found.rounding]}."
    )


def _sections(found: "Audit") -> Iterator[tuple[str, Sequence[Finding]]]:
    """Headings with what stands under them; empty ones are left out."""
    for kind, head in HEADS.items():
        misfits = [one for one in found.findings if one.kind == kind and not one.fits]
        if misfits:
            yield head, misfits
    agreeing = [one for one in found.findings if one.fits]
    sums = [one for one in agreeing if one.kind == "sum"]
    shown = [one for one in agreeing if one.kind != "sum"]
    if sums:
        text = f"{len(sums)} rows of counts sum to n"
        shown.append(Finding("sum", "", True, text))
    if shown:
        yield "What agrees", shown


def _texts(one: Finding) -> tuple[str, str, list[str]]:
    where = f"{one.where}:" if one.where else ""
    if one.kind in RUN_ON and one.tried:
        return where, f"{one.text} ({'; '.join(one.tried)})", []
    return where, one.text, list(one.tried)


def _predictive_rows(found: "Audit") -> tuple[list[str], list[list[str]]]:
    names = list(dict.fromkeys(one.row for one in found.predictive))
    prevalences = list(dict.fromkeys(one.prevalence for one in found.predictive))
    cells = {
        (one.row, one.prevalence): f"{_share(one.ppv)} / {_share(one.npv)}"
        for one in found.predictive
    }
    rows = [[name, *(cells[name, one] for one in prevalences)] for name in names]
    return ["", *(f"at {100 * one:g}%" for one in prevalences)], rows


def _predictive_table(found: "Audit") -> Table:
    heads, rows = _predictive_rows(found)
    table = Table(title=PREDICTIVE, title_justify="left", title_style="bold")
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _share(value: float) -> str:
    return "none" if value != value else f"{value:.3f}"
