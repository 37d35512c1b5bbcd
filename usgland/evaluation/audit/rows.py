"""Findings about rows of measures: the numbers of cases, F1, AUC."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from usgland.evaluation.audit.matrix_fit import (
    F1_KINDS,
    Matrix,
    fitting_f1_kinds,
    fitting_matrices,
    fitting_prevalences,
    fitting_sizes,
)
from usgland.evaluation.audit.printed import Bounds, printed_bounds, printed_value
from usgland.evaluation.audit.published_file import AuditFile, CasesStated, MeasureRow

SHOWN = 3  # numbers of cases that are named
EVERY = "every prevalence from 0.02% to 99.98%, any number of cases"


Kind = Literal[
    "cases",
    "matrix",
    "means",
    "f1",
    "auc",
    "comparison",
    "sum",
    "percent",
    "moments",
    "p_value",
    "repeated",
]


class Finding(NamedTuple):
    """One thing that was checked."""

    kind: Kind
    where: str  # in the paper
    fits: bool  # whether the printed measures agree with what was tried
    text: str  # what the check says, a sentence
    tried: tuple[str, ...] = ()  # sentences


# The matrices of one row at the numbers of cases that are taken for it.
Fit = list[Matrix]


def audit_rows(file: AuditFile) -> tuple[list[Finding], dict[str, Fit]]:
    """Checks every row of measures, those of the same cases together.

    Also row -> its matrices, of rows that have any.
    """
    findings: list[Finding] = []
    fits: dict[str, Fit] = {}
    for name, stated in file.cases.items():
        rows = {key: row for key, row in file.rows.items() if row.cases == name}
        if stated.total is not None:
            checked, fitted = _of_total(name, rows, stated.total, stated.unit, file)
        elif stated.malignant is None:
            checked, fitted = _alone(rows, file)
        else:
            checked, fitted = _together(name, rows, stated, file)
        findings += checked
        fits |= fitted
    return [*findings, *_f1_kinds(file, fits), *_aucs(file)], fits


def bounds_of(row: MeasureRow, file: AuditFile) -> dict[str, Bounds]:
    """Measure -> bounds of a row; without the AUC, which may be of a whole curve."""
    printed = {name: text for name, text in row.printed().items() if name != "auc"}
    return {name: printed_bounds(text, file.rounding) for name, text in printed.items()}


def _together(
    name: str, rows: Mapping[str, MeasureRow], stated: CasesStated, file: AuditFile
) -> tuple[list[Finding], dict[str, Fit]]:
    """Rows on the same cases, whose numbers are stated."""
    malignant, benign = stated.malignant or 0, stated.benign or 0
    size = f"{malignant} malignant + {benign} benign {stated.unit}s"
    bounds = {key: bounds_of(row, file) for key, row in rows.items()}
    fits = _at(bounds, malignant, benign)
    misfits = [key for key in rows if key not in fits]
    if not misfits:
        text = f"can be obtained from the stated {size}"
        return [
            Finding("cases", key, True, text, _matrix_texts(fits[key])) for key in rows
        ], fits
    some = "all" if len(misfits) == len(rows) else f"{len(misfits)} of {len(rows)}"
    who = f"{name}, {some} rows" if len(rows) > 1 else misfits[0]
    sizes = fitting_sizes(list(bounds.values()), file.largest)
    sizes.sort(key=lambda a: (abs(a[0] - malignant) + abs(a[1] - benign), a))
    missed = "any row" if some == "all" and len(rows) > 1 else "; ".join(misfits)
    tried = [
        f"{malignant} + {benign} as stated: no matrix for {missed}",
        f"all numbers up to {file.largest} + {file.largest}: {_sizes(sizes)}",
    ]
    if not sizes:
        alone, fitted = _alone(rows, file)
        text = f"cannot be obtained from the stated {size}, nor together from others"
        return [Finding("cases", who, False, text, tuple(tried)), *alone], fitted
    nearest = sizes[0]
    fits = _at(bounds, *nearest)
    text = (
        f"cannot be obtained from the stated {size}. The nearest numbers that give "
        f"{'every row' if len(rows) > 1 else 'the row'} are {nearest[0]} malignant + "
        f"{nearest[1]} benign"
    )
    if sum(nearest) > malignant + benign:
        text += (
            f", which is more than the {malignant + benign} {stated.unit}s; cases of "
            f"another unit{', such as images,' if stated.unit == 'patient' else ''} "
            "would fit"
        )
    for key in rows:
        tried += _matrix_texts(fits[key], f"{key}: ")
    return [Finding("cases", who, False, text, tuple(tried))], fits


def _of_total(
    name: str, rows: Mapping[str, MeasureRow], total: int, unit: str, file: AuditFile
) -> tuple[list[Finding], dict[str, Fit]]:
    """Rows on the same cases, of which it is stated only how many they are."""
    bounds = {key: bounds_of(row, file) for key, row in rows.items()}
    largest = max(file.largest, total)
    sizes = sorted(
        fitting_sizes(list(bounds.values()), largest),
        key=lambda size: (abs(sum(size) - total), size),
    )
    whole = [size for size in sizes if sum(size) == total]
    who = f"{name}, all rows" if len(rows) > 1 else next(iter(rows), name)
    stated = f"the stated {total} {unit}s"
    if not sizes:
        alone, fitted = _alone(rows, file)
        text = f"cannot be obtained together from {stated}, nor from others"
        return ([Finding("cases", who, False, text)] if rows else []) + alone, fitted
    fits = _at(bounds, *sizes[0])
    tried = [text for key in rows for text in _matrix_texts(fits[key], f"{key}: ")]
    if whole:
        text = f"can be obtained from {stated}: {_sizes(whole)}"
        return [Finding("cases", who, True, text, tuple(tried))], fits
    malignant, benign = sizes[0]
    text = (
        f"cannot be obtained from {stated}, however many of them are malignant. The "
        f"nearest number that gives {'every row' if len(rows) > 1 else 'the row'} is "
        f"{malignant + benign}, {malignant} malignant + {benign} benign"
    )
    tried.insert(0, f"all numbers up to {largest} + {largest}: {_sizes(sizes)}")
    return [Finding("cases", who, False, text, tuple(tried))], fits


def _alone(
    rows: Mapping[str, MeasureRow], file: AuditFile
) -> tuple[list[Finding], dict[str, Fit]]:
    """Rows whose numbers of cases are not known, each by itself."""
    findings: list[Finding] = []
    fits: dict[str, Fit] = {}
    for key, row in rows.items():
        bounds = bounds_of(row, file)
        sizes = sorted(fitting_sizes([bounds], file.largest), key=sum)
        tried = [f"all numbers up to {file.largest} + {file.largest}: {_sizes(sizes)}"]
        if sizes:
            fits |= _at({key: bounds}, *sizes[0])
            text = f"can be obtained; the fewest cases are {sizes[0][0]} malignant + "
            text += f"{sizes[0][1]} benign"
            tried += _matrix_texts(fits[key])
            findings.append(Finding("matrix", key, True, text, tuple(tried)))
            continue
        prevalences = fitting_prevalences(bounds)
        if prevalences is None:
            text = "cannot be obtained from one confusion matrix at any prevalence"
            tried.append(f"{EVERY}: none fits")
        else:
            text = (
                "cannot be obtained from one confusion matrix of up to "
                f"{file.largest} + {file.largest} cases"
            )
            tried.append(
                f"{EVERY}: not excluded from {prevalences.low:.1%} to "
                f"{prevalences.high:.1%}"
            )
        tried += _without_one(bounds, file.largest)
        findings.append(Finding("matrix", key, False, text, tuple(tried)))
    return findings, fits


def _without_one(bounds: Mapping[str, Bounds], largest: int) -> list[str]:
    """Which single measure the others would fit without."""
    texts = []
    for name in ("accuracy", "f1", "kappa"):
        others = {key: printed for key, printed in bounds.items() if key != name}
        if name not in bounds or len(others) == 2:
            continue
        sizes = sorted(fitting_sizes([others], largest), key=sum)
        at = _sizes(sizes) if sizes else f"none up to {largest} + {largest} fits"
        if not sizes and fitting_prevalences(others) is None:
            at = "none fits at any prevalence"
        texts.append(f"without {name}: {at}")
    return texts


def _at(
    bounds: Mapping[str, Mapping[str, Bounds]], malignant: int, benign: int
) -> dict[str, Fit]:
    fits = {k: fitting_matrices(x, malignant, benign) for k, x in bounds.items()}
    return {key: fit for key, fit in fits.items() if fit}


def _sizes(sizes: list[tuple[int, int]]) -> str:
    if not sizes:
        return "none fits"
    shown = ", ".join(f"{a} + {b}" for a, b in sizes[:SHOWN])
    return f"{len(sizes)} fit, first {shown}" if len(sizes) > SHOWN else f"{shown} fit"


def _matrix_texts(fit: Fit, start: str = "") -> tuple[str, ...]:
    return tuple(
        f"{start}sensitivity {tp}/{tp + fn}, specificity {tn}/{tn + fp}"
        for tp, fn, tn, fp in fit[:SHOWN]
    )


def _f1_kinds(file: AuditFile, fits: Mapping[str, Fit]) -> list[Finding]:
    """Whether one kind of F1 serves all rows."""
    bounds = {key: bounds_of(file.rows[key], file) for key in fits}
    kinds = {
        key: fitting_f1_kinds(bounds[key]["f1"], fit)
        for key, fit in fits.items()
        if "f1" in bounds[key]
    }
    if len(kinds) < 2:
        return []
    tried = tuple(f"{key}: {' or '.join(fitting)}" for key, fitting in kinds.items())
    shared = [kind for kind in F1_KINDS if all(kind in row for row in kinds.values())]
    if shared:
        text = f"every row can be {' or '.join(shared)}"
        return [Finding("f1", "F1", True, text, tried)]
    text = (
        "cannot be of one kind in all rows: only binary (of the malignant class) in "
        f"{_only(kinds, {'binary'})}; only macro or weighted in "
        f"{_only(kinds, {'macro', 'weighted'})}"
    )
    return [Finding("f1", "F1", False, text, tried)]


def _only(kinds: Mapping[str, tuple[str, ...]], allowed: set[str]) -> str:
    names = [key for key, fitting in kinds.items() if set(fitting) <= allowed]
    return f"{len(names)} of {len(kinds)}"


def _aucs(file: AuditFile) -> list[Finding]:
    """Whether each AUC is the balanced accuracy of its row's one point."""
    equal, other = [], []
    for key, row in file.rows.items():
        if row.auc is None:
            continue
        bounds = bounds_of(row, file)
        auc = printed_bounds(row.auc, file.rounding)
        a, b = bounds["sensitivity"], bounds["specificity"]
        if auc.meet(Bounds((a.low + b.low) / 2, (a.high + b.high) / 2)):
            equal.append(f"{key}: {row.auc}")
        else:
            shares = printed_value(row.sensitivity) + printed_value(row.specificity)
            other.append((key, row.auc, shares / 2))
    findings = []
    if equal:
        text = (
            f"{len(equal)} of {len(equal) + len(other)} AUCs equal (sensitivity + "
            "specificity) / 2, the balanced accuracy of one point, not the area under "
            "a curve of many thresholds"
        )
        findings.append(Finding("auc", "AUC", False, text, tuple(equal)))
    for key, printed, balanced in other if equal else ():
        text = (
            f"AUC {printed} is not that of the row's one point, {balanced:.4f}, as the "
            "others are"
        )
        tried = ("balanced accuracy of the printed sensitivity and specificity",)
        findings.append(Finding("auc", key, False, text, tried))
    return findings
