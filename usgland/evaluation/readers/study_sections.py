"""A reader study in words and cells, for the terminal and for Markdown alike."""

from typing import Any, NamedTuple

from usgland.evaluation.statistics.mrmc import SCOPES

NAMES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1, malignant",
    "f1_macro": "F1, macro",
    "roc_auc": "ROC AUC",
}
COVARIANCES = {"delong": "DeLong", "jackknife": "jackknife over patients"}


class Section(NamedTuple):
    """One table: its title, its header, its cells and what to know about it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]


def study_title(study: dict[str, Any]) -> str:
    level = f"{100 * study['confidence_level']:g}%"
    cases = f"{study['n']} {study['unit']}s"
    if study["unit"] == "image":
        cases += f" of {study['n_patients']} patients"
    return (
        f"{len(study['readers'])} readers, {cases} ({study['n_benign']} benign, "
        f"{study['n_malignant']} malignant), {level} intervals"
    )


def study_sections(study: dict[str, Any]) -> list[Section]:
    """All tables of a study, as `study_readers` gives it."""
    sections = [_measures(study, condition) for condition in study["conditions"]]
    questions = dict.fromkeys(test["question"] for test in study["tests"])
    sections += [_tests(study, question) for question in questions]
    if len(study["readers"]) > 1:
        sections.append(_agreement(study))
    sections += [_average(measure, part) for measure, part in study["averages"].items()]
    return sections


def study_notes(study: dict[str, Any]) -> list[str]:
    """What holds for the whole study."""
    notes = []
    model = study["model"]
    if model is not None:
        notes.append(
            f"Model: {model['n']} {model['unit']}s of role {model['role']}, threshold "
            f"on P(malignant) {model['threshold']}."
        )
        if model["unit"] != study["unit"]:
            notes.append(
                f"UNPAIRED: readers judged {study['unit']}s, the model {model['unit']}s"
                ". Tests against the model treat the two as independent samples, which "
                "they are not: they show the same patients. Choose one unit to pair."
            )
    if study["dropped"]:
        notes.append(
            f"Left out for all, as a reader skipped them: {', '.join(study['dropped'])}"
        )
    if study["n_patients"] < study["n"]:
        notes.append(
            "Patients have several images. Wilson intervals, tests of single readers "
            "and kappa treat images as independent; the averages and the bootstrap "
            "keep a patient's images together."
        )
    if "roc_auc" not in study["averages"]:
        notes.append(
            "The readers gave calls, no scores: a single operating point has no ROC "
            'curve, and its "AUC" is the balanced accuracy.'
        )
    return notes


def show_interval(value: float | None, low: float | None, high: float | None) -> str:
    """`0.850 (0.640 to 0.948)`; NaN and None are undefined."""
    if value is None or value != value:
        return "undefined"
    if low is None or high is None or low != low:
        return f"{value:.3f} (no interval)"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def show_p(value: float | None) -> str:
    """`0.041`, `<0.001`, or `undefined`."""
    if value is None or value != value:
        return "undefined"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _measures(study: dict[str, Any], condition: str) -> Section:
    table = study["tables"][condition]
    names = list(table[0]["figures"])
    rows = []
    for row in table:
        measures = [row["figures"][name] for name in names]
        cells = [
            show_interval(one["value"], one["low"], one["high"]) for one in measures
        ]
        name = row["name"]
        if row["unit"] != study["unit"]:
            name += f", {row['n']} {row['unit']}s"
        rows.append([name, *cells])
    measures = [one for row in table for one in row["figures"].values()]
    made = sorted({one["method"] for one in measures if not one["reason"]})
    none = sorted({one["reason"] for one in measures if one["reason"]})
    notes = [f"Intervals: {'; '.join(made)}."]
    notes += [f"No interval: {'; '.join(none)}."] if none else []
    header = ["Reader", *(NAMES[name] for name in names)]
    return Section(f"{condition.capitalize()} clinical data", header, rows, notes)


def _tests(study: dict[str, Any], question: str) -> Section:
    tests = [test for test in study["tests"] if test["question"] == question]
    paired = tests[0]["only_a"] is not None
    rows = []
    for test in sorted(tests, key=lambda one: study["readers"].index(one["reader"])):
        rows.append(
            [
                test["reader"],
                NAMES[test["figure"]],
                f"{test['a']:.3f}",
                f"{test['b']:.3f}",
                f"{test['difference']:+.3f}",
                *([str(test["only_a"]), str(test["only_b"])] if paired else []),
                show_p(test["p_value"]),
                show_p(test["p_holm"]),
            ]
        )
    header = ["Reader", "Figure", "First", "Second", "Difference"]
    header += ["Only first right", "Only second right"] if paired else []
    notes = [
        f"{tests[0]['method']}; two-sided. Holm: over the readers, for each figure."
    ]
    return Section(
        f"{question[0].upper()}{question[1:]}, each reader",
        [*header, "P", "P, Holm"],
        rows,
        notes,
    )


def _agreement(study: dict[str, Any]) -> Section:
    rows = []
    for condition, part in study["agreement"].items():
        for pair in part["pairs"]:
            rows.append(
                [condition, " and ".join(pair["readers"]), "Cohen", *_agreed(pair)]
            )
        rows.append([condition, "all", "Fleiss", *_agreed(part["all"])])
    header = ["Clinical data", "Readers", "Kappa of", "Kappa", "Standard error"]
    header += ["Same call", "Called malignant"]
    return Section(
        "Agreement",
        header,
        rows,
        [
            "Kappa falls as the share called malignant nears 0 or 1, at the same "
            "agreement; read it beside the share of same calls.",
            "Standard errors: Cohen by Fleiss, Cohen and Everitt; Fleiss by jackknife "
            "over cases.",
        ],
    )


def _agreed(one: dict[str, Any]) -> list[str]:
    error = one["standard_error"]
    return [
        show_interval(one["kappa"], one["low"], one["high"]),
        "undefined" if error is None or error != error else f"{error:.3f}",
        f"{100 * one['agreement']:.1f}%",
        f"{100 * one['malignant']:.1f}%",
    ]


def _average(measure: str, part: dict[str, Any]) -> Section:
    rows = []
    reasons = set()
    for question, estimates in average_questions(part).items():
        by_scope = {one["scope"]: one for one in estimates}
        random, *fixed = (by_scope[scope] for scope in SCOPES)
        reasons |= {one["reason"] for one in estimates} - {""}
        is_test = "against" in question
        rows.append(
            [
                question,
                show_interval(random["value"], random["low"], random["high"]),
                "" if _unknown(random["statistic"]) else f"{random['statistic']:.2f}",
                _freedom(random),
                *(
                    show_p(one["p_value"]) if is_test else ""
                    for one in (random, *fixed)
                ),
            ]
        )
    notes = [
        "Readers and cases random: Obuchowski and Rockette, degrees of freedom (df) "
        f"by Hillis; covariance: {COVARIANCES[part['covariance']]}. The estimates with "
        "readers or cases fixed stand in readers.csv."
    ]
    if "model" in part:
        notes.append(f"Model: {part['model']:.3f}; it varies with the cases only.")
    notes += [f"Undefined: {reason}." for reason in sorted(reasons)]
    header = ["Average reader", "Estimate", "t", "df", "P"]
    header += ["P, readers fixed", "P, cases fixed"]
    return Section(f"Average reader: {NAMES[measure]}", header, rows, notes)


def average_questions(part: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Question -> one estimate a scope: the means, then the differences."""
    means = {f"mean {one} clinical data": part["means"][one] for one in part["means"]}
    return means | {key: value for key, value in part.items() if "against" in key}


def _freedom(one: dict[str, Any]) -> str:
    if _unknown(one["standard_error"]):
        return ""
    freedom = one["degrees_of_freedom"]
    return "normal" if _unknown(freedom) else f"{freedom:.1f}"


def _unknown(value: float | None) -> bool:
    return value is None or value != value
