"""The step `audit`: from a file of published measures to findings."""

from typing import Any

from usgland.evaluation.audit.claims import audit_comparisons
from usgland.evaluation.audit.printed import printed_value
from usgland.evaluation.audit.published_file import AuditFile
from usgland.evaluation.audit.published_tables import audit_tables
from usgland.evaluation.audit.rows import audit_rows
from usgland.evaluation.statistics.scores import predictive_values


def find_all(file: AuditFile) -> dict[str, Any]:
    """Everything that can be said of the measures of a file.

    Returns:
        `title`; `rounding`; `findings`, a list of `usgland.evaluation.audit.rows.
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
