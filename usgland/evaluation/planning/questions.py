"""The table of sample sizes: one row a question, with what it assumes."""

import math
from typing import Any, NamedTuple

from usgland.errors import UserError
from usgland.evaluation.planning import model_size, power, sample_size
from usgland.evaluation.planning.pilot_study import Pilot
from usgland.evaluation.shown.names import NAMES
from usgland.evaluation.shown.table import Document, Table, rows
from usgland.evaluation.shown.text import format_percent
from usgland.evaluation.statistics.intervals import PROPORTION_METHODS

FEWEST = 10  # of a label, of which a normal approximation is taken
COMPARED = ("sensitivity", "specificity", "auc")


class Assumptions(NamedTuple):
    """What a study expects and wants."""

    sensitivity: float = 0.9  # in [0, 1], as specificity
    specificity: float = 0.9
    auc: float = 0.9  # in [0.5, 1)
    width: float = 0.1  # of the intervals, in (0, 1)
    prevalence: float = 0.5  # share of malignant patients, in (0, 1)
    level: float = 0.95  # of the intervals, in (0, 1)
    # Of what it is compared with; None for no comparison.
    other_sensitivity: float | None = None
    other_specificity: float | None = None
    other_auc: float | None = None
    # Share of the cases of a label that one of the two alone calls right; None: as if
    # the two erred independently.
    discordant: float | None = None
    correlation: float = 0.5  # of the two AUC, in [0, 1)
    margin: float | None = None  # of non-inferiority; None for tests of a difference
    parameters: int | None = None  # of a model of a form to be made; None: none is
    validation: bool = False  # whether a model is to be validated elsewhere
    pilot: Pilot | None = None  # of a reader study; with it `readers` and `difference`
    readers: int | None = None  # who will read, 2 or more
    difference: float | None = None  # to be found between two conditions, in (0, 1)
    alpha: float = 0.05  # of the tests: two-sided, half of it for non-inferiority
    power: float = 0.8  # in (alpha, 1)


def sample_size_rows(study: Assumptions) -> list[dict[str, Any]]:
    """Answers every question that the assumptions put.

    One dict a question: question, method, malignant, benign (None where it does not ask
    for them) and patients. A `UserError` says which assumptions contradict each other.
    """
    if not study.alpha < study.power:
        raise UserError(
            f"--power: expected more than --alpha {study.alpha}. "
            f"Received: {study.power}"
        )
    others = {name: getattr(study, f"other_{name}") for name in COMPARED}
    if study.margin is not None and set(others.values()) == {None}:
        raise UserError(
            "--margin: expected --other-sensitivity, --other-specificity or "
            "--other-auc, of what is compared with. Received: none of them"
        )
    if study.discordant is not None and not {
        others["sensitivity"],
        others["specificity"],
    } - {None}:
        raise UserError(
            "--discordant: expected --other-sensitivity or --other-specificity, of "
            "what is compared with. Received: neither"
        )
    if study.auc <= 0.5 and (study.parameters is not None or study.validation):
        raise UserError(
            "--auc: expected more than 0.5 with --parameters or --validation, as a "
            f"model of chance has no size. Received: {study.auc:g}"
        )
    whole = {study.pilot, study.readers, study.difference}
    if None in whole and whole != {None}:
        raise UserError(
            "--pilot, --readers, --difference: expected all three, for a reader study. "
            "Received: not all of them"
        )
    rows = []
    for name, share in _shares(study):
        for method, written in PROPORTION_METHODS.items():
            cases = sample_size.sample_size_proportion(
                share, study.width, level=study.level, method=method
            )
            question = f"{name} {share:.12g}, interval of width {study.width:g}"
            rows.append(_row(study, question, written, name, cases))
    size = sample_size.sample_size_auc(
        study.auc, study.width, prevalence=study.prevalence, level=study.level
    )
    question = f"AUC {study.auc:.12g}, interval of width {study.width:g}"
    rows.append(_both(question, "Hanley-McNeil", size))
    for name, share in _shares(study):
        other = getattr(study, f"other_{name}")
        if other is not None:
            rows.append(_compare_shares(study, name, share, other))
    if study.other_auc is not None:
        rows.append(_compare_areas(study, study.other_auc))
    if study.parameters is not None:
        made = model_size.sample_size_development(
            study.parameters, prevalence=study.prevalence, auc=study.auc
        )
        question = f"a model of {study.parameters} parameters, AUC {study.auc:.12g}"
        rows.append(_model(question, made))
    if study.validation:
        shown = model_size.sample_size_validation(
            prevalence=study.prevalence, auc=study.auc, level=study.level
        )
        question = f"validation of a model with AUC {study.auc:.12g}"
        rows.append(_model(question, shown))
    if study.pilot and study.readers and study.difference:
        rows.append(_readers(study, study.pilot, study.readers, study.difference))
    return rows


def sample_size_document(study: Assumptions) -> Document:
    """The table of `sample_size_rows`, and what it assumes."""
    lines, notes = [], assumption_lines(study)
    answers = sample_size_rows(study)
    areas = [row for row in answers if row["method"] in ("Hanley-McNeil", "Obuchowski")]
    if any(min(row["malignant"], row["benign"]) < FEWEST for row in areas):
        notes.append(
            f"Of an AUC: the formulas do not hold for fewer than {FEWEST} cases of a "
            "label; take as many of each at least."
        )
    for row in answers:
        counts = (row["malignant"], row["benign"], row["patients"])
        shown = ("any" if count is None else f"{count:,}" for count in counts)
        lines.append((row["question"], row["method"], *shown))
    table = Table(
        heads=("", "by", "malignant", "benign", "patients"),
        sections=(rows(lines),),
        title="Sample size",
        notes=tuple(notes),
        align="llrrr",
    )
    return Document((table,), synthetic=False)


def assumption_lines(study: Assumptions) -> list[str]:
    """What a protocol has to say beside the numbers."""
    lines = [
        f"Prevalence {study.prevalence:g}; intervals at {format_percent(study.level)}, "
        "at the expected count. Patients are those among whom so many of either label "
        "are expected: by chance there may be fewer."
    ]
    others = (study.other_sensitivity, study.other_specificity, study.other_auc)
    if study.pilot is not None:
        lines.append(
            f"Readers: as {study.pilot.readers} readers of {study.pilot.cases} cases "
            "in the pilot, with its share of malignant cases; each reads every case "
            f"with and without; two-sided alpha {study.alpha:g}; power "
            f"{study.power:g}. A pilot of few readers tells little of how much others "
            "differ."
        )
    if any(other is not None for other in others):
        alpha = f"two-sided alpha {study.alpha:g}"
        if study.margin is not None:
            alpha = f"one-sided alpha {study.alpha / 2:g}, half of --alpha"
        lines.append(f"Tests: {alpha}; power {study.power:g}.")
    if study.other_sensitivity is not None or study.other_specificity is not None:
        how = "as if both erred independently"
        if study.discordant is not None:
            how = f"{study.discordant:g} of a label's cases, as given"
        lines.append(f"Called right by one of the two alone: {how}.")
    if study.other_auc is not None:
        lines.append(f"Correlation of the two AUC: {study.correlation:g}.")
    lines.append(
        "One independent case a patient; more images of a patient are not more "
        "patients. Add those who will drop out."
    )
    return lines


def _shares(study: Assumptions) -> list[tuple[str, float]]:
    return [("sensitivity", study.sensitivity), ("specificity", study.specificity)]


def _compare_shares(
    study: Assumptions, name: str, share: float, other: float
) -> dict[str, Any]:
    first, second = _discordant(study, name, share, other)
    if study.margin is None:
        _check_difference(name, share, other)
        cases = power.sample_size_mcnemar(
            first, second, alpha=study.alpha, power=study.power
        )
        question = f"{name} {share:g} against {other:g}"
        return _row(study, question, "McNemar, exact", name, cases)
    _check_margin(study.margin, name, share, other)
    cases = power.sample_size_noninferiority(
        first, second, study.margin, alpha=study.alpha / 2, power=study.power
    )
    question = f"{name} {share:g} not below {other:g} by {study.margin:g}"
    return _row(study, question, "paired, Wald", name, cases)


def _compare_areas(study: Assumptions, other: float) -> dict[str, Any]:
    shared = {
        "correlation": study.correlation,
        "prevalence": study.prevalence,
        "power": study.power,
    }
    if study.margin is None:
        _check_difference("auc", study.auc, other)
        size = power.sample_size_auc_difference(
            study.auc, other, alpha=study.alpha, **shared
        )
        question = f"AUC {study.auc:.12g} against {other:g}"
    else:
        _check_margin(study.margin, "auc", study.auc, other)
        size = power.sample_size_auc_noninferiority(
            study.auc, other, study.margin, alpha=study.alpha / 2, **shared
        )
        question = f"AUC {study.auc:.12g} not below {other:g} by {study.margin:g}"
    return _both(question, "Obuchowski", size)


def _discordant(
    study: Assumptions, name: str, share: float, other: float
) -> tuple[float, float]:
    """Shares of cases that the first alone and the second alone call right."""
    if study.discordant is None:
        return share * (1 - other), other * (1 - share)
    least, most = abs(share - other), min(share + other, 2 - share - other)
    if not least - 1e-12 <= study.discordant <= most + 1e-12:
        raise UserError(
            f"--discordant: expected a share in [{least:.3g}, {most:.3g}], as the "
            f"{name} is {share:g} and {other:g}. Received: {study.discordant:g}"
        )
    # In half steps of the difference; rounding shall not leave one below 0.
    half = (share - other) / 2
    middle = study.discordant / 2
    return max(0.0, middle + half), max(0.0, middle - half)


def _check_difference(name: str, value: float, other: float) -> None:
    if value == other:
        raise UserError(
            f"--other-{name}: expected another value than --{name}, or --margin for "
            f"non-inferiority. Received: {other:g}"
        )


def _check_margin(margin: float, name: str, value: float, other: float) -> None:
    if value - other + margin <= 1e-12:
        raise UserError(
            f"--margin: expected more than the {name} that is lost, "
            f"{other - value:.3g}. Received: {margin:g}"
        )


def _row(
    study: Assumptions, question: str, method: str, name: str, cases: int
) -> dict[str, Any]:
    malignant = cases if name == "sensitivity" else None
    benign = cases if name == "specificity" else None
    patients = sample_size.patients_for(malignant or 0, benign or 0, study.prevalence)
    counts = {"malignant": malignant, "benign": benign, "patients": patients}
    return {"question": question, "method": method, **counts}


def _model(question: str, size: model_size.ModelSize) -> dict[str, Any]:
    """With the criterion that asks for the most."""
    most = max(size.criteria, key=lambda name: size.criteria[name])
    counts = {"malignant": size.malignant, "benign": size.patients - size.malignant}
    method = f"Riley: {most.replace('_', ' ')}"
    return {
        **{"question": question, "method": method},
        **counts,
        "patients": size.patients,
    }


def _readers(
    study: Assumptions, pilot: Pilot, readers: int, difference: float
) -> dict[str, Any]:
    cases = model_size.sample_size_mrmc(
        difference,
        readers,
        pilot.components,
        pilot.cases,
        pilot_readers=pilot.readers,
        alpha=study.alpha,
        power=study.power,
    )
    malignant = math.ceil(cases * pilot.malignant / pilot.cases)
    name = NAMES[pilot.measure]
    question = f"{readers} readers, {name} differs by {difference:g}"
    counts = {"malignant": malignant, "benign": cases - malignant, "patients": cases}
    return {"question": question, "method": "Obuchowski-Rockette, Hillis", **counts}


def _both(question: str, method: str, size: sample_size.SampleSize) -> dict[str, Any]:
    return {"question": question, "method": method, **size._asdict()}
