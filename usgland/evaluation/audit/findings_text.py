"""The findings of an audit: on the terminal and as Markdown."""

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from usgland.evaluation.audit.published_tables import ALL

P_TITLE = "P values that cannot be obtained from their rows"
P_HEADS = ("Printed", "Recomputed")
NOTE = (
    "What cannot be obtained from the printed figures may come from other cases, other "
    "tests, a mean over several test sets, or a misprint: only the authors know."
)


def print_audit(found: dict[str, Any], console: Console) -> None:
    """Shows the findings, then what fits, in the width of the console.

    Args:
        found: As `find_all` gives it.
        console: Where to.
    """
    console.print(Text(f"{found['title']}: {_counts(found)}", style="bold"))
    for number, one in enumerate(_listed(found), start=1):
        console.print(Text(f"\n{number}. {one['where']}", style="bold"))
        console.print(_indented(_sentence(one)))
        for text in one["tried"]:
            console.print(_indented(f"- {text}", style="dim"))
    if _p_values(found):
        console.print()
        table = Table(title=P_TITLE, title_justify="left", title_style="bold")
        for head in P_HEADS:
            table.add_column(head)
        for cells in _p_values(found):
            table.add_row(*map(Text, cells))
        console.print(table)
    fitting = _fitting(found)
    if fitting:
        console.print(Text(f"\nNothing against {len(fitting)} others:", style="bold"))
        for one in fitting:
            console.print(_indented(f"{one['where']}: {one['text']}."))
    if found["predictive"]:
        console.print()
        console.print(_predictive_table(found))
    console.print(Text(f"\n{_rounding(found)} {NOTE}"))


def audit_markdown(found: dict[str, Any]) -> str:
    """The same as Markdown."""
    lines = [f"**{found['title']}: {_counts(found)}**", ""]
    for number, one in enumerate(_listed(found), start=1):
        lines.append(f"{number}. **{one['where']}**: {_sentence(one)}")
        lines += [f"   - {text}" for text in one["tried"]]
    if _p_values(found):
        lines += ["", f"**{P_TITLE}**", "", f"| {' | '.join(P_HEADS)} |", "|---|---|"]
        lines += [f"| {' | '.join(cells)} |" for cells in _p_values(found)]
    if _fitting(found):
        lines += ["", f"**Nothing against {len(_fitting(found))} others**", ""]
        lines += [f"- {one['where']}: {one['text']}." for one in _fitting(found)]
    heads, rows = _predictive_cells(found)
    if rows:
        lines += ["", "**PPV / NPV by prevalence**", ""]
        lines += [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
        lines += [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([*lines, "", f"{_rounding(found)} {NOTE}"]) + "\n"


def _misfits(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in found["findings"] if not one["fits"]]


def _listed(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The findings that are numbered: those of P values of tables stand in one."""
    return [
        one
        for one in _misfits(found)
        if one["kind"] != "p_value" or one["where"] == ALL
    ]


def _p_values(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"{one['where']}: {one['text'].split(' cannot')[0]}", "; ".join(one["tried"]))
        for one in _misfits(found)
        if one["kind"] == "p_value" and one["where"] != ALL
    ]


def _fitting(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What fits; the rows whose counts sum to n as one."""
    fitting = [one for one in found["findings"] if one["fits"]]
    sums = [one for one in fitting if one["kind"] == "sum"]
    others = [one for one in fitting if one["kind"] != "sum"]
    if sums:
        others.append(
            {
                "where": f"Sums of {len(sums)} row{'' if len(sums) == 1 else 's'}",
                "text": "the counts sum to n",
            }
        )
    return others


def _sentence(one: dict[str, Any]) -> str:
    return f"{one['text'][0].upper()}{one['text'][1:]}."


def _indented(text: str, style: str = "") -> Padding:
    return Padding(Text(text, style=style), (0, 0, 0, 3), expand=False)


def _counts(found: dict[str, Any]) -> str:
    misfits = len(_misfits(found))
    plural = "" if misfits == 1 else "s"
    return f"{misfits} finding{plural} in {len(found['findings'])} checks"


def _rounding(found: dict[str, Any]) -> str:
    how = {
        "either": "Last decimals may be rounded or truncated.",
        "rounded": "Last decimals are rounded.",
        "truncated": "Last decimals are truncated.",
    }
    return how[found["rounding"]]


def _predictive_table(found: dict[str, Any]) -> Table:
    heads, rows = _predictive_cells(found)
    table = Table(
        title="PPV / NPV by prevalence", title_justify="left", title_style="bold"
    )
    for head in heads:
        table.add_column(head, justify="right" if head else "left")
    for cells in rows:
        table.add_row(*map(Text, cells))
    return table


def _predictive_cells(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    prevalences = list(dict.fromkeys(one["prevalence"] for one in found["predictive"]))
    by_row: dict[str, list[str]] = {}
    for one in found["predictive"]:
        shown = [
            f"{one[key]:.3f}" if one[key] == one[key] else "-" for key in ("ppv", "npv")
        ]
        by_row.setdefault(one["row"], []).append(" / ".join(shown))
    heads = ["", *(f"{100 * one:g}%" for one in prevalences)]
    return heads, [[name, *cells] for name, cells in by_row.items()]
