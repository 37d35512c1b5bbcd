"""Everything that can be said of a file of published measures."""

from pathlib import Path
from typing import Any

import pandas as pd

from usgland.evaluation.audit import published_file
from usgland.evaluation.audit.claims import audit_comparisons
from usgland.evaluation.audit.mean_rows import audit_means
from usgland.evaluation.audit.printed import printed_value
from usgland.evaluation.audit.published_tables import audit_tables
from usgland.evaluation.audit.rows import Finding, audit_rows
from usgland.evaluation.statistics.scores import predictive_values


def audit_published(path: str | Path | None = None) -> pd.DataFrame:
    """Checks which cases and tests can give the measures that a paper printed.

    Args:
        path: YAML file of what was printed, as `configs/audit_paper.yaml` in the
            repository; None for that file, the paper's.

    Returns:
        One row a check, those that do not fit first: kind (cases, matrix, means, f1,
        auc, comparison, sum, percent, moments, p_value or repeated), where (in the
        paper), fits, text (a sentence) and tried (what was tried, sentences).

    Raises:
        UserError: If the file cannot be used; it names every problem.

    Reference:
        As `usgland.evaluation.audit.matrix_fit`; `docs/audit.md` says what is checked.

    Example:
        Of 21 benign cases 19 right are 0.90 and 20 are 0.95, and none are 0.92.

        >>> import usgland.evaluation as ev
        >>> printed = [
        ...     "title: an example",
        ...     "cases: {all: {malignant: 20, benign: 21, unit: patient}}",
        ...     "rows: {model: {cases: all, sensitivity: '0.85', specificity: '0.92'}}",
        ... ]
        >>> with open("printed.yaml", "w") as file:
        ...     print(*printed, sep=chr(10), file=file)
        >>> ev.audit_published("printed.yaml")[["kind", "where", "fits"]]
            kind  where   fits
        0  cases  model  False
    """
    source = published_file.paper_path() if path is None else Path(path)
    file = published_file.read_audit_file(source)
    return pd.DataFrame(find_all(file)["findings"], columns=list(Finding._fields))


def find_all(file: published_file.AuditFile) -> dict[str, Any]:
    """Checks the rows, comparisons and tables of a file.

    Returns:
        `title`; `rounding`; `findings`, a list of `usgland.evaluation.audit.rows.
        Finding` as dicts, those that do not fit first; `predictive`, a list of PPV and
        NPV of each row at each prevalence.
    """
    rows, fits = audit_rows(file)
    findings = [*rows, *audit_means(file, fits), *audit_comparisons(file, fits)]
    findings += audit_tables(file)
    findings.sort(key=lambda finding: finding.fits)
    return {
        "title": file.title,
        "rounding": file.rounding,
        "findings": [finding._asdict() for finding in findings],
        "predictive": _predictive_values(file),
    }


def _predictive_values(file: published_file.AuditFile) -> list[dict[str, Any]]:
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
