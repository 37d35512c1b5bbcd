"""The step `audit`: from a file of published figures to findings."""

from pathlib import Path
from typing import Any

from rich.console import Console

from usgland.errors import UserError
from usgland.evaluation.audit_claims import audit_comparisons
from usgland.evaluation.audit_file import AuditFile, paper_path, read_audit_file
from usgland.evaluation.audit_rows import audit_rows
from usgland.evaluation.audit_tables import audit_tables
from usgland.evaluation.audit_text import audit_markdown, print_audit
from usgland.evaluation.printed import printed_value
from usgland.runs import write_json, write_text

STEM = "audit"


def audit_published(
    path: Path | None,
    console: Console,
    *,
    output: Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Checks a file of published figures and shows what was found.

    Args:
        path: As `usgland.evaluation.audit_file` describes it; None: the paper's.
        console: Where the findings are shown.
        output: Folder for audit.json and audit.md; None: nothing is written.
        overwrite: Whether they may be replaced.

    Returns:
        The files written.

    Raises:
        UserError: If the file cannot be used or the output exists.
    """
    target = None if output is None else output / f"{STEM}.json"
    if target is not None and target.exists() and not overwrite:
        raise UserError(
            f"An audit is not overwritten. Received {target}, which exists. Add "
            "--overwrite to make it again"
        )
    found = find_all(read_audit_file(path or paper_path()))
    print_audit(found, console)
    if target is None:
        return []
    write_text(target.with_suffix(".md"), audit_markdown(found))
    write_json(target, found)
    return [target.with_suffix(".md"), target]


def find_all(file: AuditFile) -> dict[str, Any]:
    """Everything that can be said of the figures of a file.

    Returns:
        `title`; `rounding`; `findings`, a list of `usgland.evaluation.audit_rows.
        Finding` as dicts, those that do not fit first; `predictive`, a list of PPV and
        NPV of each row at each prevalence.
    """
    rows, fits = audit_rows(file)
    found = [*rows, *audit_comparisons(file, fits), *audit_tables(file)]
    found.sort(key=lambda one: one.fits)
    return {
        "title": file.title,
        "rounding": file.rounding,
        "findings": [one._asdict() for one in found],
        "predictive": _predictive_values(file),
    }


def _predictive_values(file: AuditFile) -> list[dict[str, Any]]:
    """PPV and NPV at other prevalences, by the printed sensitivity and specificity.

    Reference:
        [Altman and Bland, 1994](https://doi.org/10.1136/bmj.309.6947.102)
    """
    values = []
    for name, row in file.rows.items():
        sensitivity = printed_value(row.sensitivity)
        specificity = printed_value(row.specificity)
        for prevalence in file.prevalences:
            true = prevalence * sensitivity
            false = (1 - prevalence) * (1 - specificity)
            well = (1 - prevalence) * specificity
            missed = prevalence * (1 - sensitivity)
            values.append(
                {
                    "row": name,
                    "prevalence": prevalence,
                    "ppv": true / (true + false) if true + false else float("nan"),
                    "npv": well / (well + missed) if well + missed else float("nan"),
                }
            )
    return values
