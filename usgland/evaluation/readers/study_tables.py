"""The tables of a reader study."""

import re
from collections.abc import Iterator
from typing import Any

from usgland.evaluation.readers.reading_time import CHANGE, STEP
from usgland.evaluation.readers.study import agreements
from usgland.evaluation.shown import names, text
from usgland.evaluation.shown.table import Document, Paragraph, Table, rows
from usgland.evaluation.shown.text import format_number, format_p, format_percent
from usgland.evaluation.statistics.mrmc import SCOPES

NAMES = names.NAMES | {"f1": "F1, malignant", "f1_macro": "F1, macro"}
COVARIANCES = {"delong": "DeLong", "jackknife": "jackknife over patients"}
TRENDS = {
    "time, order": f"Time, {STEP} readings later",
    "right calls, order": f"Right calls, {STEP} readings later",
    "right calls, seconds": "Right calls, twice the time",
    "right calls, help": "Right calls, with against without",
}
CSV_COLUMNS = (
    *("synthetic", "part", "question", "reader", "figure", "scope", "unit", "n"),
    *("value", "low", "high", "confidence_level", "standard_error", "statistic"),
    *("degrees_of_freedom", "p_value", "p_holm", "method", "reason"),
)


def study_document(study: dict[str, Any]) -> Document:
    """All tables of a study, as `study_readers` gives it or readers.json holds it."""
    tables = [_measures(study, condition) for condition in study["conditions"]]
    questions = dict.fromkeys(test["question"] for test in study["tests"])
    tables += [_tests(study, question) for question in questions]
    if len(study["readers"]) > 1:
        tables.append(_agreement(study))
    # Of a file that an earlier version wrote, there may be neither.
    if study.get("graded"):
        tables.append(_graded(study["graded"]))
    if study.get("reclassified"):
        tables.append(_reclassified(study["reclassified"]))
    tables += _spent(study.get("spent") or {})
    tables += [_average(measure, part) for measure, part in study["averages"].items()]
    shared = {key: study[key] for key in ("synthetic", "confidence_level")}
    return Document(
        (Paragraph(study_title(study), bold=True), *tables),
        study["synthetic"],
        notes=tuple(study_notes(study)),
        columns=CSV_COLUMNS,
        records=tuple(record | shared for record in _records(study)),
    )


def study_title(study: dict[str, Any]) -> str:
    level = format_percent(study["confidence_level"])
    cases = f"{study['n']} {study['unit']}s"
    if study["n_patients"] < study["n"]:  # else whose they are is not said
        cases += f" of {study['n_patients']} patients"
    return (
        f"{len(study['readers'])} readers, {cases} ({study['n_benign']} benign, "
        f"{study['n_malignant']} malignant), {level} intervals"
    )


def study_notes(study: dict[str, Any]) -> list[str]:
    """What holds for the whole study."""
    notes = []
    if study.get("aided"):  # An earlier version's file does not say.
        notes.append(
            "The file says `aided`: read `clinical data` as the aid that readers had, "
            "such as a model's answer."
        )
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
    if not study.get("complete", True):
        notes.append(
            "Readers read different cases. Each counts on their own; two readings, and "
            "a reading and the model, are compared on the cases that both have; "
            "averages are of each reader's own cases, and two readers covary by those "
            "that they share. All this holds if it was chance which cases a reader "
            "read, not how hard they were."
        )
    if study["n_patients"] < study["n"]:
        notes.append(
            "Patients have several images. Intervals, tests, averages and kappa keep "
            "a patient's images together."
        )
    elif study["unit"] == "image":
        notes.append(
            "Every image counts as a patient. If patients have several, name them in "
            "a column patient_id: intervals and tests would be too sure without it."
        )
    if "roc_auc" not in study["averages"]:
        notes.append(
            "The readers gave calls, no scores: a single operating point has no ROC "
            'curve, and its "AUC" is the balanced accuracy.'
        )
    return notes


def _table(
    title: str, heads: list[str], lines: list[list[str]], notes: list[str]
) -> Table:
    """A table of cells that stand at the left: most of them are words.

    Columns without a word are left out.
    """
    kept = [place for place, cells in enumerate(zip(*lines, strict=True)) if any(cells)]
    heads = [heads[place] for place in kept]
    sections = (rows([[line[place] for place in kept] for line in lines]),)
    return Table(tuple(heads), sections, title, tuple(notes), "l" * len(heads))


def _graded(parts: list[dict[str, Any]]) -> Table:
    lines = [
        [
            part["condition"],
            part["readers"],
            part["figure"],
            text.format_interval(part["value"], part["low"], part["high"]),
        ]
        for part in parts
    ]
    notes = [
        "AC1 does not fall where one call is rare, as kappa does. Of grades: quadratic "
        "weights; ICC(2,1), absolute agreement of single readers."
    ]
    heads = ["", "readers", "coefficient", "value"]
    return _table("Agreement of calls and grades", heads, lines, notes)


def _reclassified(parts: list[dict[str, Any]]) -> Table:
    lines = [
        [
            part["reader"],
            text.format_interval(part["nri"], part["low"], part["high"], signed=True),
            format_number(part["malignant"], signed=True),
            format_number(part["benign"], signed=True),
        ]
        for part in parts
    ]
    heads = ["", "NRI of calls", "malignant", "benign"]
    title = "Net reclassification, with against without clinical data"
    return _table(title, heads, lines, [f"{parts[0]['caveat']}."])


def _spent(spent: dict[str, Any]) -> list[Table]:
    """Tables of reading time and of learning."""
    tables = []
    heads = ["Clinical data", "Reader", "Readings"]
    if "seconds" in spent:
        lines = [
            [
                part["condition"],
                part["reader"],
                str(part["n"]),
                text.format_interval(
                    *(part[key] for key in ("value", "low", "high")), digits=1
                ),
                format_p(part["p_value"]) if part["condition"] == CHANGE else "",
            ]
            for part in spent["seconds"]
        ]
        notes = [
            "Mean seconds a case. Each reader: jackknife over patients; average "
            "reader: Obuchowski and Rockette, readers and cases random."
        ]
        heads_of = [*heads, "Seconds", "P"]
        tables.append(_table("Reading time", heads_of, lines, notes))
    if "trends" in spent:
        lines = [
            [
                TRENDS[part["figure"]],
                part["reader"],
                str(part["n"]),
                f"undefined: {part['reason']}"
                if part["reason"]
                else text.format_interval(
                    *(part[key] for key in ("value", "low", "high"))
                ),
                "" if part["reason"] else format_p(part["p_value"]),
            ]
            for part in sorted(
                spent["trends"], key=lambda part: list(TRENDS).index(part["figure"])
            )
        ]
        notes = [
            "Ratios of times and odds ratios of right calls; 1 is no change. By "
            "regression with an intercept of each reader and condition, of calls with "
            "the label and all that stands here; clustered by patient, readers fixed."
        ]
        heads_of = ["", *heads[1:], "Ratio", "P"]
        tables.append(_table("Learning and time", heads_of, lines, notes))
    return tables


def _measures(study: dict[str, Any], condition: str) -> Table:
    readers = study["tables"][condition]
    measures = list(readers[0]["figures"])
    lines = []
    for reader in readers:
        name = reader["name"]
        if (reader["unit"], reader["n"]) != (study["unit"], study["n"]):
            name += f", {reader['n']} {reader['unit']}s"
        shown = (
            text.format_measure(reader["figures"][measure]) for measure in measures
        )
        lines.append([name, *shown])
    figures = [figure for reader in readers for figure in reader["figures"].values()]
    made = sorted({figure["method"] for figure in figures if not figure["reason"]})
    none = sorted({figure["reason"] for figure in figures if figure["reason"]})
    notes = [f"Intervals: {'; '.join(made)}."]
    notes += [f"No interval: {'; '.join(none)}."] if none else []
    heads = ["Reader", *(NAMES[measure] for measure in measures)]
    return _table(f"{condition.capitalize()} clinical data", heads, lines, notes)


def _tests(study: dict[str, Any], question: str) -> Table:
    tests = [test for test in study["tests"] if test["question"] == question]
    tests.sort(key=lambda test: study["readers"].index(test["reader"]))
    # The number of swaps differs from test to test; the names of the tests do not.
    named = dict.fromkeys(re.sub(r" \(.*?\)", "", one["method"]) for one in tests)
    method = "; ".join(named)
    paired = any(test["only_a"] is not None for test in tests)
    complete = study.get("complete", True)
    lines = [
        [
            test["reader"],
            NAMES[test["figure"]],
            format_number(test["a"]),
            format_number(test["b"]),
            format_number(test["difference"], signed=True),
            *([str(test[key]) for key in ("only_a", "only_b")] if paired else []),
            "" if complete else _sizes(test),
            format_p(test["p_value"]),
            format_p(test["p_holm"]),
        ]
        for test in tests
    ]
    heads = ["Reader", "Measure", "First", "Second", "Difference"]
    heads += ["Only first right", "Only second right"] if paired else []
    return _table(
        f"{question[0].upper()}{question[1:]}, each reader",
        [*heads, "Cases", "P", "P, Holm"],
        lines,
        [f"{method}; two-sided. Holm: over the readers, for each measure."],
    )


def _sizes(test: dict[str, Any]) -> str:
    first, second = test["n_a"], test["n_b"]
    return str(first) if test["only_a"] is not None else f"{first} and {second}"


def _agreement(study: dict[str, Any]) -> Table:
    lines: list[list[str]] = []
    made: dict[str, None] = {}
    for condition, part in study["agreement"].items():
        for readers, kappa in agreements(part):
            author = "Fleiss" if readers == "all" else "Cohen"
            made[f"{author} by {kappa['method']}"] = None
            cases = "" if study.get("complete", True) else str(kappa["cases"])
            lines.append([condition, readers, author, cases, *_agreed(kappa)])
    heads = ["Clinical data", "Readers", "Kappa of", "Cases"]
    heads += ["Kappa", "Standard error"]
    notes = [
        "Kappa falls as the share called malignant nears 0 or 1, at the same "
        "agreement; read it beside the share of same calls.",
        f"Standard errors: {'; '.join(made)}.",
    ]
    return _table("Agreement", [*heads, "Same call", "Called malignant"], lines, notes)


def _agreed(kappa: dict[str, Any]) -> list[str]:
    return [
        text.format_interval(kappa["kappa"], kappa["low"], kappa["high"]),
        format_number(kappa["standard_error"]),
        format_percent(kappa["agreement"], 1),
        format_percent(kappa["malignant"], 1),
    ]


def _average(measure: str, part: dict[str, Any]) -> Table:
    lines, reasons = [], set()
    for question, estimates in average_questions(part).items():
        by_scope = {estimate["scope"]: estimate for estimate in estimates}
        random, *fixed = (by_scope[scope] for scope in SCOPES)
        reasons |= {estimate["reason"] for estimate in estimates} - {""}
        statistic = text.known_number(random["statistic"])
        is_test = "against" in question
        lines.append(
            [
                question.replace(" clinical data", ""),
                text.format_measure(random),
                "" if statistic is None else format_number(statistic, 2),
                _freedom(random),
                *(
                    format_p(estimate["p_value"]) if is_test else ""
                    for estimate in (random, *fixed)
                ),
            ]
        )
    notes = [
        "Readers and cases random: Obuchowski and Rockette, degrees of freedom (df) "
        f"by Hillis; covariance: {COVARIANCES[part['covariance']]}. The estimates with "
        "readers or cases fixed stand in readers.csv."
    ]
    if "model" in part:
        model = format_number(part["model"])
        notes.append(f"Model: {model}; it varies with the cases only.")
    notes += [f"Undefined: {reason}." for reason in sorted(reasons)]
    heads = ["Average reader", "Estimate", "t", "df", "P"]
    heads += ["P, readers fixed", "P, cases fixed"]
    return _table(f"Average reader: {NAMES[measure]}", heads, lines, notes)


def _freedom(estimate: dict[str, Any]) -> str:
    if text.known_number(estimate["standard_error"]) is None:
        return ""
    freedom = text.known_number(estimate["degrees_of_freedom"])
    return "normal" if freedom is None else f"{freedom:.1f}"


def average_questions(part: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Question -> one estimate a scope: the means, then the differences."""
    means = {f"mean {key} clinical data": part["means"][key] for key in part["means"]}
    return means | {key: value for key, value in part.items() if "against" in key}


def _records(study: dict[str, Any]) -> Iterator[dict[str, Any]]:
    size = {"unit": study["unit"], "n": study["n"]}
    for condition, table in study["tables"].items():
        for row in table:
            for name, measure in row["figures"].items():
                yield {
                    "part": "figures",
                    "question": f"{condition} clinical data",
                    "reader": row["name"],
                    "figure": name,
                    "unit": row["unit"],
                    "n": row["n"],
                    **{key: measure[key] for key in CSV_COLUMNS if key in measure},
                }
    for test in study["tests"]:
        sizes = f"{test['n_a']}" if test["n_a"] == test["n_b"] else ""
        yield {"part": "tests", **test, "value": test["difference"], "n": sizes}
    for condition, part in study["agreement"].items():
        for readers, kappa in agreements(part):
            yield {
                "part": "agreement",
                "question": f"{condition} clinical data",
                "reader": readers,
                "figure": "kappa",
                **size,
                **kappa,
                "value": kappa["kappa"],
            }
    for kind, part in (study.get("spent") or {}).items():
        for row in part:
            question = row.get("condition", "learning and time")
            figure = row.get("figure", kind)
            yield {"part": "reading time", "question": question, "figure": figure} | row
    for measure, part in study["averages"].items():
        for question, estimates in average_questions(part).items():
            for estimate in estimates:
                yield {
                    "part": "average reader",
                    "question": question,
                    "figure": measure,
                    **size,
                    **estimate,
                    "method": f"Obuchowski-Rockette, {part['covariance']}",
                }
