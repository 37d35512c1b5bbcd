"""Findings about rows that no single evaluation gives: means over several."""

from collections.abc import Mapping, Sequence

from usgland.evaluation.audit.mean_fit import (
    REPEATS,
    can_be_tried,
    chance_of_a_fit,
    fitting_sums,
)
from usgland.evaluation.audit.printed import printed_bounds
from usgland.evaluation.audit.published_file import AuditFile, MeasureRow
from usgland.evaluation.audit.rows import SHOWN, Finding, Fit, bounds_of


def audit_means(file: AuditFile, fits: Mapping[str, Fit]) -> list[Finding]:
    """Whether rows that have no common matrix can be means over evaluations.

    With enough cases and evaluations every share can be had, so only numbers are tried
    that the file names or rows on other cases show: of rows whose numbers are stated,
    these.

    Args:
        file: What was printed.
        fits: Row -> its matrices, as `audit_rows` gives them.
    """
    shown: dict[tuple[int, int], None] = {}
    open_rows: dict[str, dict[str, MeasureRow]] = {}
    for name, stated in file.cases.items():
        rows = {key: row for key, row in file.rows.items() if row.cases == name}
        if stated.malignant and stated.benign:
            shown[stated.malignant, stated.benign] = None
        own = {
            (x.tp + x.fn, x.tn + x.fp) for key in rows for x in fits.get(key, [])[:1]
        }
        together = all(key in fits for key in rows)
        if stated.malignant is not None and together and len(own) == 1:
            shown |= dict.fromkeys(own)
        elif not together or stated.malignant is not None:
            open_rows[name] = rows
    findings = []
    for name, rows in open_rows.items():
        stated = file.cases[name]
        sizes = list(shown)
        if stated.malignant and stated.benign:
            sizes = [(stated.malignant, stated.benign)]
        if rows:
            findings.append(_means(name, rows, sizes, file))
    return findings


def _means(
    name: str,
    rows: Mapping[str, MeasureRow],
    sizes: Sequence[tuple[int, int]],
    file: AuditFile,
) -> Finding:
    """Whether rows are means of several evaluations of cases named elsewhere."""
    bounds = {key: bounds_of(row, file) for key, row in rows.items()}
    unit = file.cases[name].unit
    tried = [size for size in sizes if can_be_tried(*size)]
    if not tried:
        text = "means over several evaluations were not tried: "
        text += (
            "there are too many cases" if sizes else "no numbers of cases are stated"
        )
        return Finding("means", name, True, text)
    trials = [(*size, repeats) for size in tried for repeats in REPEATS]
    hits = {
        trial: {
            key: sums
            for key, printed in bounds.items()
            if (sums := fitting_sums(printed, *trial)) is not None
        }
        for trial in trials
    }
    chances = {
        trial: sum(chance_of_a_fit(printed, *trial) for printed in bounds.values())
        for trial in trials
    }
    spans = ", ".join(f"{a} + {b}" for a, b in tried)
    what = f"means of {REPEATS[0]} to {REPEATS[-1]} evaluations of {spans} {unit}s"
    every = f"{_rarely(sum(chances.values()))} of all that was tried: {what}"
    most = max(map(len, hits.values()))
    if not most:
        return Finding("means", name, False, f"no row fits {what}")
    equal = sorted((t for t in trials if len(hits[t]) == most), key=lambda t: t[2])
    best = equal[0]
    malignant, benign, repeats = best
    some = "all" if most == len(rows) else f"{most} of {len(rows)}"
    text = (
        f"{some} rows can be means of {repeats} evaluations of {malignant} malignant + "
        f"{benign} benign {unit}s"
    )
    if others := [f"{k} of {a} + {b}" for a, b, k in equal[1 : SHOWN + 1]]:
        text += f"; as many rows of {', '.join(others)}"
    lines = []
    for key in rows:
        if key not in hits[best]:
            lines.append(f"{key}: cannot")
            continue
        right, right_benign = hits[best][key]
        n, n_benign = repeats * malignant, repeats * benign
        line = f"{key}: sensitivity {right}/{n}, specificity {right_benign}/{n_benign}"
        values = {
            "sensitivity": right / n,
            "specificity": right_benign / n_benign,
            "accuracy": (right + right_benign) / (n + n_benign),
        }
        if malignant == benign:  # then chance agreement is one half in every run
            values["kappa"] = 2 * values["accuracy"] - 1
        cut = _truncated(rows[key], values, file)
        lines.append(line + (f" ({', '.join(cut)} truncated)" if cut else ""))
    lines.append(f"rows that fit so by chance: {_rarely(chances[best])}; {every}")
    little = chances[best] > most / 2
    if little:
        text += f", but chance would give {chances[best]:.2g} such rows"
    return Finding("means", name, little, text, tuple(lines))


def _truncated(
    row: MeasureRow, values: Mapping[str, float], file: AuditFile
) -> list[str]:
    """The measures that are printed so only if their last decimal is cut off."""
    if file.rounding == "truncated":
        return []
    rounded = {
        name: printed_bounds(text, "rounded")
        for name, text in row.printed().items()
        if name in values
    }
    return [
        name
        for name, bounds in rounded.items()
        if not bounds.low <= values[name] <= bounds.high
    ]


def _rarely(expected: float) -> str:
    return f"{expected:.2g} expected" if expected < 10 else f"{expected:.0f} expected"
