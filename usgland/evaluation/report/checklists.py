"""What reporting guidelines ask for, filled in where a run knows the answer.

The items are named in our own short words, by the numbers of the guidelines; the
guidelines themselves say what exactly each wants.
"""

from collections.abc import Mapping
from typing import NamedTuple

AUTHOR = "author must supply"


class Item(NamedTuple):
    """One item of a guideline."""

    number: str  # as the guideline counts
    topic: str  # what it asks for, in short
    fact: str = ""  # which of the run's facts answers it; "" if none does


# STARD-AI (doi 10.1038/s41591-025-03953-8), table 2.
STARD_AI = (
    Item("1", "title names a measure of accuracy and the use of AI"),
    Item("2", "structured abstract"),
    Item("3", "background, intended use, place in the workflow"),
    Item("4", "objectives and hypotheses"),
    Item("5", "prospective or retrospective"),
    Item("6", "approval of an ethics committee, or why none"),
    Item("7", "eligibility criteria of patients and of data", "left_out"),
    Item("8", "how eligible patients were found"),
    Item("9", "where and when"),
    Item("10", "consecutive, random or convenience series"),
    Item("11", "source of the data, and for what they were collected", "source"),
    Item("12", "who annotated the data, and how"),
    Item("13", "devices that captured the data; software of the test", "version"),
    Item("14", "acquisition and preprocessing", "preprocessing"),
    Item("15a", "index test, in enough detail to repeat it", "model"),
    Item("15b", "how it was developed: parts of the data, their sizes", "split"),
    Item("15c", "cut-off of the index test, pre-specified or not", "threshold"),
    Item("15d", "who is to use it, with what expertise"),
    Item("16a", "reference standard"),
    Item("16b", "why this reference standard"),
    Item("16c", "cut-offs of the reference standard"),
    Item("17a", "whether readers of the index test knew the reference", "blinding"),
    Item("17b", "whether assessors of the reference knew the index test"),
    Item("18", "how accuracy was estimated and compared", "statistics"),
    Item("19", "indeterminate results", "indeterminate"),
    Item("20", "missing data", "missing"),
    Item("21", "variability, pre-specified or exploratory", "subgroups"),
    Item("22", "intended sample size and how it was found"),
    Item("23", "errors looked at; bias and fairness", "errors"),
    Item("24", "flow diagram", "diagram"),
    Item("25", "baseline characteristics of each part", "baseline"),
    Item("26a", "severity of disease in those with it"),
    Item("26b", "alternative diagnoses in those without it"),
    Item("27", "time and treatment between tests"),
    Item("28", "whether the test set is like the patients it is meant for"),
    Item("29", "how external data differ from the others", "external"),
    Item("30", "cross tabulation", "confusion"),
    Item("31", "estimates with intervals", "measures"),
    Item("32", "adverse events"),
    Item("33", "limitations, bias, generalizability"),
    Item("34", "implications for practice"),
    Item("35", "ethics of its use, and fairness"),
    Item("36", "registration"),
    Item("37", "protocol"),
    Item("38", "funding"),
    Item("39", "commercial interests"),
    Item("40a", "access to data and code", "version"),
    Item("40b", "whether outputs are stored and can be audited"),
)
# CLAIM 2024 update (doi 10.1148/ryai.240300).
CLAIM = (
    Item("1-2", "title and abstract name the AI technique"),
    Item("3-4", "background, role, aims"),
    Item("5-6", "prospective or retrospective; goal of the study"),
    Item("7", "source of data", "source"),
    Item("8", "inclusion and exclusion", "left_out"),
    Item("9", "preprocessing", "preprocessing"),
    Item("10", "selection of subsets of the data", "left_out"),
    Item("11", "de-identification"),
    Item("12", "missing data", "missing"),
    Item("13", "acquisition of the images"),
    Item("14-18", "reference standard and its annotation"),
    Item("19", "how data were assigned to parts", "split"),
    Item("20", "at which level the parts are disjoint", "split"),
    Item("21", "intended sample size"),
    Item("22", "model: inputs, outputs, layers", "model"),
    Item("23", "software and packages", "version"),
    Item("24", "initial weights", "weights"),
    Item("25", "training: augmentation, rates, stopping", "training"),
    Item("26", "how the final model was chosen", "choice"),
    Item("27", "ensembling", "ensemble"),
    Item("28", "measures of performance", "statistics"),
    Item("29", "uncertainty and significance", "statistics"),
    Item("30", "robustness or sensitivity analysis", "subgroups"),
    Item("31", "explainability", "saliency"),
    Item("32", "evaluation on internal data", "measures"),
    Item("33", "evaluation on external data", "external"),
    Item("34", "trial registration"),
    Item("35", "flow of patients", "diagram"),
    Item("36", "characteristics of each part", "baseline"),
    Item("37", "performance on every part", "measures"),
    Item("38", "estimates with precision", "measures"),
    Item("39", "failures looked at", "errors"),
    Item("40-41", "limitations; implications"),
    Item("42", "protocol and further materials"),
    Item("43", "availability of software, model, data", "version"),
    Item("44", "funding and interests"),
)
# TRIPOD+AI (doi 10.1136/bmj-2023-078378).
TRIPOD_AI = (
    Item("1-2", "title and abstract"),
    Item("3-4", "context, users, known inequalities, objectives"),
    Item("5a", "sources of data", "source"),
    Item("5b", "dates of the data"),
    Item("6", "setting, eligibility, treatments", "left_out"),
    Item("7", "data preparation", "preprocessing"),
    Item("8", "outcome, its assessors and blinding"),
    Item("9", "predictors and how they were measured", "predictors"),
    Item("10", "sample size", "flow"),
    Item("11", "missing data", "missing"),
    Item("12a", "how data were used and parted", "split"),
    Item("12b", "how predictors were handled", "predictors"),
    Item("12c", "type of model, building, tuning, internal validation", "training"),
    Item("12d", "heterogeneity across groups", "subgroups"),
    Item("12e", "measures and plots of performance", "statistics"),
    Item("12f", "updating of the model", "calibration"),
    Item("12g", "how predictions were calculated", "model"),
    Item("13", "class imbalance", "imbalance"),
    Item("14", "fairness", "subgroups"),
    Item("15", "output and thresholds", "threshold"),
    Item("16", "differences between development and evaluation data", "baseline"),
    Item("17", "ethical approval"),
    Item("18", "funding, interests, protocol, registration, data, code", "version"),
    Item("19", "patient and public involvement"),
    Item("20", "flow and characteristics of participants", "flow"),
    Item("21", "participants and events in each analysis", "flow"),
    Item("22", "the full model, so that it can be used", "model"),
    Item("23", "performance with intervals, also by group", "measures"),
    Item("24", "results of updating", "calibration"),
    Item("25-26", "interpretation and limitations"),
    Item("27", "use in practice: poor or missing input, users, next steps", "missing"),
)
CHECKLISTS = {"STARD-AI": STARD_AI, "CLAIM 2024": CLAIM, "TRIPOD+AI": TRIPOD_AI}
# How far the numbers were held against the guideline's own list, of which we have
# transcriptions that others wrote.
NUMBERS = {
    "STARD-AI": "The numbers were checked against two transcriptions of the "
    "published table 2, one of which says that it was compared with it row by row.",
    "CLAIM 2024": "The numbers were checked against two transcriptions of the 44 "
    "items, which agree, and UNCHECKED against the published list itself.",
    "TRIPOD+AI": "The numbers, 1 to 27, were checked against a transcription of the "
    "published list that says it agrees with the supplement.",
}


def fill(items: tuple[Item, ...], facts: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The rows of one checklist: number, topic, and what the run says or who must.

    `facts` is name -> one sentence; names that are missing, or empty, are for the
    author.
    """
    return [
        (item.number, item.topic, facts.get(item.fact, "") or AUTHOR) for item in items
    ]
