"""The audit of published figures: all findings of one file, shown and written."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from usgland.errors import UserError
from usgland.evaluation.audit_claims import audit_comparisons
from usgland.evaluation.audit_file import AuditFile, paper_path, read_audit_file
from usgland.evaluation.audit_rows import Finding, audit_rows
from usgland.evaluation.audit_tables import audit_tables
from usgland.evaluation.audit_texts import audit_markdown, print_audit
from usgland.evaluation.printed import Rounding, printed_value
from usgland.evaluation.scores import predictive_values
from usgland.runs import write_text

STEM = "audit"


class Predictive(NamedTuple):
    """Predictive values of one row at a prevalence that is not the study's.

    Attributes:
        row: Its name.
        prevalence: Share of malignant cases, in (0, 1).
        ppv: From the printed sensitivity and specificity; NaN where undefined.
        npv: Likewise.
    """

    row: str
    prevalence: float
    ppv: float
    npv: float


class Audit(NamedTuple):
    """What was found in one file.

    Attributes:
        title: Of the paper.
        rounding: How the last decimals were taken.
        findings: Everything that was checked, in the order of the checks.
        predictive: Row by row; empty where no prevalence is named.
    """

    title: str
    rounding: Rounding
    findings: tuple[Finding, ...]
    predictive: tuple[Predictive, ...]


def audit_figures(file: AuditFile) -> Audit:
    """Checks all that a file holds.

    A figure is only called out of reach if every value that may be printed so is.
    """
    findings, fits = audit_rows(file)
    findings += [*audit_comparisons(file, fits), *audit_tables(file)]
    return Audit(file.title, file.rounding, tuple(findings), _predictive(file))


def make_audit(
    path: Path | None,
    console: Console,
    *,
    output: Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Reads a file, shows its audit and writes audit.json and audit.md.

    Args:
        path: YAML of published figures; None: those of the paper.
        console: Where the findings are shown.
        output: Folder of the files; None: nothing is written.
        overwrite: Whether they may be replaced.

    Returns:
        The files written.

    Raises:
        UserError: If the file cannot be used, or the output exists.
    """
    names = [] if output is None else [output / f"{STEM}.json", output / f"{STEM}.md"]
    existing = [one for one in names if one.exists()]
    if existing and not overwrite:
        raise UserError(
            f"An audit is not overwritten. Received {existing[0]}, which exists. Add "
            "--overwrite to make it again"
        )
    found = audit_figures(read_audit_file(path or paper_path()))
    print_audit(found, console)
    texts = (json.dumps(audit_record(found), indent=2) + "\n", audit_markdown(found))
    for name, text in zip(names, texts, strict=False):
        write_text(name, text)
    return names


def audit_record(found: Audit) -> dict[str, Any]:
    """The audit as JSON holds it; null where undefined."""
    values = [one._asdict() for one in found.predictive]
    for one in values:
        one |= {key: _known(one[key]) for key in ("ppv", "npv")}
    return {
        "title": found.title,
        "rounding": found.rounding,
        "findings": [one._asdict() for one in found.findings],
        "predictive": values,
    }


def _predictive(file: AuditFile) -> tuple[Predictive, ...]:
    found = []
    for name, row in file.rows.items():
        sensitivity = printed_value(row.sensitivity)
        specificity = printed_value(row.specificity)
        if sensitivity != sensitivity or specificity != specificity:  # as `>0.9`
            continue
        for prevalence in file.prevalences:
            ppv, npv = predictive_values(sensitivity, specificity, prevalence)
            found.append(Predictive(name, prevalence, float(ppv), float(npv)))
    return tuple(found)


def _known(value: float) -> float | None:
    return None if value != value else value
