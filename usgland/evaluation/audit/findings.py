"""Everything that can be said of a file of published measures."""

from typing import Any

from usgland.evaluation.audit.claims import audit_comparisons
from usgland.evaluation.audit.printed import printed_value
from usgland.evaluation.audit.published_file import AuditFile
from usgland.evaluation.audit.published_tables import audit_tables
from usgland.evaluation.audit.rows import audit_rows
from usgland.evaluation.statistics.scores import predictive_values


def find_all(file: AuditFile) -> dict[str, Any]:
    """Checks the rows, comparisons and tables of a file.

    Returns:
        `title`; `rounding`; `findings`, a list of `usgland.evaluation.audit.rows.
        Finding` as dicts, those that do not fit first; `predictive`, a list of PPV and
        NPV of each row at each prevalence.
    """
    rows, fits = audit_rows(file)
    findings = [*rows, *audit_comparisons(file, fits), *audit_tables(file)]
    findings.sort(key=lambda finding: finding.fits)
    return {
        "title": file.title,
        "rounding": file.rounding,
        "findings": [finding._asdict() for finding in findings],
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
            place = {"row": name, "prevalence": prevalence}
            values.append({**place, "ppv": float(ppv), "npv": float(npv)})
    return values
