"""The findings of an audit: on the terminal and as Markdown."""

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

NOTE = (
    "What cannot be obtained from the printed figures may come from other cases, other "
    "tests, a mean over several test sets, or a misprint: only the authors know."
)
# What was tried is a list of numbers there, and stands in the sentence.
RUN_ON = ("auc", "comparison", "p_value")


def print_audit(found: dict[str, Any], console: Console) -> None:
    """Shows the findings, then what fits, in the width of the console.

    Args:
        found: As `find_all` gives it.
        console: Where to.
    """
    console.print(Text(f"{found['title']}: {_counts(found)}", style="bold"))
    for number, one in enumerate(_misfits(found), start=1):
        console.print(Text(f"\n{number}. {one['where']}", style="bold"))
        console.print(_indented(_sentence(one)))
        for text in _listed(one):
            console.print(_indented(f"- {text}", style="dim"))
    fitting = _fitting(found)
    if fitting:
        console.print(Text(f"\nNothing against {len(fitting)} others:", style="bold"))
        for one in fitting:
            console.print(_indented(f"{one['where']}: {one['text']}{_in_line(one)}."))
    if found["predictive"]:
        console.print()
        console.print(_predictive_table(found))
    console.print(Text(f"\n{_rounding(found)} {NOTE}"))


def audit_markdown(found: dict[str, Any]) -> str:
    """The same as Markdown."""
    lines = [f"**{found['title']}: {_counts(found)}**", ""]
    for number, one in enumerate(_misfits(found), start=1):
        lines.append(f"{number}. **{one['where']}**: {_sentence(one)}")
        lines += [f"   - {text}" for text in _listed(one)]
    if _fitting(found):
        lines += ["", f"**Nothing against {len(_fitting(found))} others**", ""]
        lines += [
            f"- {one['where']}: {one['text']}{_in_line(one)}."
            for one in _fitting(found)
        ]
    heads, rows = _predictive_cells(found)
    if rows:
        lines += ["", "**PPV / NPV by prevalence**", ""]
        lines += [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
        lines += [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([*lines, "", f"{_rounding(found)} {NOTE}"]) + "\n"


def _misfits(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in found["findings"] if not one["fits"]]


def _fitting(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What fits; the rows whose counts sum to n as one."""
    fitting = [one for one in found["findings"] if one["fits"]]
    sums = [one for one in fitting if one["kind"] == "sum"]
    others = [one for one in fitting if one["kind"] != "sum"]
    if sums:
        others.append(
            {
                "kind": "sum",
                "where": f"Sums of {len(sums)} row{'' if len(sums) == 1 else 's'}",
                "text": "the counts sum to n",
                "tried": (),
            }
        )
    return others


def _sentence(one: dict[str, Any]) -> str:
    run_on = _in_line(one) if one["kind"] in RUN_ON else ""
    return f"{one['text'][0].upper()}{one['text'][1:]}{run_on}."


def _listed(one: dict[str, Any]) -> list[str]:
    return [] if one["kind"] in RUN_ON else list(one["tried"])


def _in_line(one: dict[str, Any]) -> str:
    return f" ({'; '.join(one['tried'])})" if one["tried"] else ""


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
        table.add_column(head, justify="right" if head else "left", overflow="fold")
    for cells in rows:
        table.add_row(*(Text(cell) for cell in cells))
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
