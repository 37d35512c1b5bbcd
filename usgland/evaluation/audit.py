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
from usgland.evaluation.scores import predictive_values
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
    written = [output / f"{STEM}{kind}" for kind in (".md", ".json")] if output else []
    existing = [one for one in written if one.exists()]
    if existing and not overwrite:
        raise UserError(
            f"An audit is not overwritten. Received {existing[0]}, which exists. Add "
            "--overwrite to make it again"
        )
    found = find_all(read_audit_file(path or paper_path()))
    print_audit(found, console)
    if written:
        write_text(written[0], audit_markdown(found))
        write_json(written[1], found)
    return written


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
    """PPV and NPV at other prevalences, by the printed sensitivity and specificity."""
    values = []
    for name, row in file.rows.items():
        sensitivity = printed_value(row.sensitivity)
        specificity = printed_value(row.specificity)
        for prevalence in file.prevalences:
            ppv, npv = predictive_values(sensitivity, specificity, prevalence)
            one = {"row": name, "prevalence": prevalence}
            values.append({**one, "ppv": float(ppv), "npv": float(npv)})
    return values
