"""The public names: what they are called, what they take, and that their examples run.

A change here is a change of what notebooks and programs of others rely on.
"""

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import usgland
import usgland.evaluation as ev

ROOT = Path(__file__).parent.parent
SIGNATURES = {
    "read_predictions": "(path)",
    "patient_predictions": "(rows)",
    "read_readers": "(path, cases=None, *, malignant_from=None, skipped='error')",
    "table_one": (
        "(rows, by, columns=None, *, medians=(), tests=None, unit='patients', "
        "seed=0, left_out=())"
    ),
    "missing_values": "(rows, by, columns=None)",
    "impute": "(rows, columns, *, by=None, imputations=20, seed=0)",
    "imputed_table_one": (
        "(rows, by, columns=None, *, imputations=20, level=0.95, seed=0)"
    ),
    "imputed_logistic": (
        "(rows, labels, columns, *, imputations=20, level=0.95, seed=0)"
    ),
    "pool_imputations": ("(estimates, variances, *, freedom=inf, level=0.95)"),
    "sample_size_proportion": "(share, width, *, level=0.95, method='wilson')",
    "sample_size_auc": "(auc, width, *, prevalence=0.5, level=0.95)",
    "sample_size_mcnemar": "(only_a, only_b, *, alpha=0.05, power=0.8)",
    "sample_size_auc_difference": (
        "(auc_a, auc_b, *, correlation=0.5, prevalence=0.5, alpha=0.05, power=0.8)"
    ),
    "sample_size_noninferiority": (
        "(only_new, only_standard, margin, *, alpha=0.025, power=0.8)"
    ),
    "sample_size_auc_noninferiority": (
        "(auc_new, auc_standard, margin, *, correlation=0.5, prevalence=0.5, "
        "alpha=0.025, power=0.8)"
    ),
    "sample_size_development": (
        "(parameters, *, prevalence, auc=None, r_squared=None, shrinkage=0.9)"
    ),
    "sample_size_validation": (
        "(*, prevalence, auc, logits=None, auc_width=0.1, slope_width=0.2, "
        "ratio_width=0.2, level=0.95)"
    ),
    "sample_size_mrmc": (
        "(difference, readers, components, pilot_cases, *, pilot_readers, "
        "alpha=0.05, power=0.8)"
    ),
    "choose_threshold": (
        "(labels, probabilities, method='youden', *, target=0.95, "
        "cost_ratio=5.0, prevalence=None)"
    ),
    "measures": (
        "(labels, probabilities, threshold, *, patient_ids=None, "
        "names=('sensitivity', 'specificity', 'ppv', 'npv', 'accuracy', "
        "'balanced_accuracy', 'f1', 'f1_macro', 'cohen_kappa', 'mcc', "
        "'jaccard', 'positive_likelihood_ratio', 'negative_likelihood_ratio', "
        "'roc_auc', 'average_precision', 'brier'), level=0.95, "
        "proportions='wilson', bootstrap='jackknife', resamples=2000, seed=0)"
    ),
    "roc_auc": "(labels, scores)",
    "roc_points": "(labels, scores)",
    "sensitivity_at": (
        "(labels, scores, *, specificity, patient_ids=None, level=0.95, "
        "resamples=2000, seed=0)"
    ),
    "partial_auc": ("(labels, scores, *, specificity, patient_ids=None, level=0.95)"),
    "auc_interval": "(labels, scores, *, patient_ids=None, level=0.95)",
    "proportion_interval": "(successes, cases, *, level=0.95, method='wilson')",
    "bootstrap_interval": (
        "(labels, probabilities, threshold=None, *, measure='roc_auc', "
        "patient_ids=None, level=0.95, method='bca', resamples=2000, "
        "seed=0)"
    ),
    "calibration": "(labels, probabilities, *, patient_ids=None, level=0.95)",
    "smooth_calibration": (
        "(labels, probabilities, *, patient_ids=None, level=0.95, seed=0)"
    ),
    "brier_parts": "(labels, probabilities)",
    "expected_calibration_error": "(labels, probabilities, edges=None)",
    "net_benefit": "(labels, probabilities, thresholds, *, prevalence=None)",
    "subgroups": (
        "(predictions, groups, threshold, *, cuts=(), unit='patient', "
        "level=0.95, resamples=2000, seed=0)"
    ),
    "subgroup_calibration": (
        "(labels, probabilities, groups, *, cuts=(), patient_ids=None, level=0.95)"
    ),
    "adjusted_difference": (
        "(labels, calls, groups, covariates=None, *, measure='sensitivity', "
        "patient_ids=None, level=0.95)"
    ),
    "several_sites": (
        "(labels, probabilities, sites, *, patient_ids=None, level=0.95)"
    ),
    "random_effects": ("(estimates, standard_errors, *, scale='identity', level=0.95)"),
    "delong_test": (
        "(labels, scores_a, scores_b, *, level=0.95, patient_ids=None, margin=None)"
    ),
    "unpaired_delong_test": "(a, b, *, level=0.95, patient_ids=None, margin=None)",
    "permutation_test": (
        "(labels, scores_a, scores_b, *, level=0.95, patient_ids=None, "
        "margin=None, resamples=20000, seed=0)"
    ),
    "mcnemar_test": (
        "(labels, calls_a, calls_b, *, measure='accuracy', patient_ids=None, "
        "level=0.95, margin=None)"
    ),
    "predictive_value_test": (
        "(labels, calls_a, calls_b, *, measure='ppv', patient_ids=None, level=0.95)"
    ),
    "net_benefit_test": (
        "(labels, probabilities_a, probabilities_b, threshold, *, "
        "patient_ids=None, level=0.95)"
    ),
    "average_precision_test": (
        "(labels, scores_a, scores_b, *, patient_ids=None, level=0.95, "
        "resamples=2000, seed=0)"
    ),
    "holm": "(p_values)",
    "compare_models": (
        "(predictions, thresholds=None, *, unit='patient', reference=None, "
        "paired=True, test='delong', margin=None, level=0.95, seed=0, also=(), "
        "acting_from=None)"
    ),
    "cohen_kappa": "(calls_a, calls_b, *, patient_ids=None, level=0.95)",
    "fleiss_kappa": "(calls, *, patient_ids=None, level=0.95)",
    "weighted_kappa": (
        "(grades_a, grades_b, *, weights='quadratic', patient_ids=None, level=0.95)"
    ),
    "gwet_agreement": (
        "(grades, *, weights='identity', grades_possible=None, patient_ids=None, "
        "level=0.95)"
    ),
    "intraclass_correlation": "(scores, *, form='agreement', level=0.95)",
    "reclassification": ("(labels, before, after, *, patient_ids=None, level=0.95)"),
    "mrmc": (
        "(labels, readings, *, measure='roc_auc', method=None, "
        "patient_ids=None, level=0.95)"
    ),
    "reader_study": (
        "(readings, model=None, *, threshold=0.5, level=0.95, resamples=2000, seed=0)"
    ),
    "audit_published": "(path=None)",
}
PRESENTATION = ("tensorflow", "keras", "matplotlib", "rich", "docx", "cv2")
PROBE = f"""
import doctest, sys
import usgland.evaluation as ev
assert "scipy" not in sys.modules and "pandas" not in sys.modules
for name in ev.__all__:
    if name.startswith("impute"):  # scikit-learn brings rich itself
        continue
    for test in doctest.DocTestFinder().find(getattr(ev, name), name, globs={{}}):
        doctest.DocTestRunner().run(test)
print("imported:", sorted(set(sys.modules) & set({PRESENTATION!r})))
"""


def test_the_package_has_two_names_beside_its_version():
    assert dir(usgland) == ["__version__", "load_config", "load_run"]
    assert list(inspect.signature(usgland.load_run).parameters) == ["path"]
    assert list(inspect.signature(usgland.load_config).parameters) == [
        *("path", "overrides")
    ]
    with pytest.raises(AttributeError, match="module 'usgland' has no attribute 'fit'"):
        usgland.fit  # noqa: B018


def test_the_names_are_those_that_are_promised():
    assert ev.__all__ == sorted(SIGNATURES)
    assert dir(ev) == sorted(SIGNATURES)


@pytest.mark.parametrize(("name", "expected"), SIGNATURES.items())
def test_what_a_function_takes_is_what_is_promised(name, expected):
    function = getattr(ev, name)
    assert function.__name__ == name
    signature = inspect.signature(function)
    bare = [
        one.replace(annotation=inspect.Parameter.empty)
        for one in signature.parameters.values()
    ]
    shown = signature.replace(
        parameters=bare, return_annotation=inspect.Signature.empty
    )
    assert str(shown) == expected
    assert "Union" not in str(signature)  # what `help` would show of ArrayLike


@pytest.mark.parametrize(
    ("face", "name"), [(usgland, "load_config"), *((ev, name) for name in SIGNATURES)]
)
def test_the_example_of_a_function_runs(face, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for examples that read a file
    (test,) = doctest.DocTestFinder().find(getattr(face, name), name, globs={})
    assert test.examples, "no example"
    report = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
        test, out=report.append
    )
    assert result.failed == 0, "".join(report)


def test_the_page_of_help_has_a_line_for_each_name():
    lines = [line.split() for line in ev.__doc__.splitlines() if line[:4] == "    "]
    assert [words[0] for words in lines[1:] if words] == list(SIGNATURES)


def test_type_checkers_see_each_name_in_the_module_that_makes_it():
    tree = ast.parse((ROOT / "usgland/evaluation/__init__.pyi").read_text())
    seen = {
        alias.asname: f"usgland.evaluation.{node.module}"
        for node in tree.body
        for alias in node.names
        if alias.asname == alias.name
    }
    assert seen == {name: getattr(ev, name).__module__ for name in SIGNATURES}


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'usgland.evaluation' has no attr"):
        importlib.import_module("usgland.evaluation").auc_test  # noqa: B018


def test_neither_the_import_nor_a_call_brings_a_plot_a_terminal_or_tensorflow(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["imported: []"], done.stdout + done.stderr


def test_no_public_name_is_that_of_a_room():
    # The import of a room would put it in the place of the function.
    rooms = {path.parent.name for path in (ROOT / "usgland").rglob("__init__.py")}
    assert not rooms & {*ev.__all__, *usgland.__all__}


def test_the_page_for_notebooks_shows_what_its_code_gives(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it writes a file
    page = (ROOT / "docs/python.md").read_text()
    code = "\n".join(re.findall(r"```pycon\n(.*?)```", page, flags=re.DOTALL))
    test = doctest.DocTestParser().get_doctest(code, {}, "python.md", None, 0)
    report = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
        test, out=report.append
    )
    assert result.attempted > 40
    assert result.failed == 0, "".join(report)


def test_the_page_for_notebooks_shows_every_name():
    page = (ROOT / "docs/python.md").read_text()
    assert [name for name in ev.__all__ if f"ev.{name}" not in page] == []


SCORES = np.array([0.1, 0.3, 0.4, 0.6, 0.35, 0.7, 0.8, 0.9])
OTHERS = SCORES[[1, 0, 2, 5, 4, 3, 7, 6]]
CALLS = {
    "choose_threshold": lambda labels: ev.choose_threshold(labels, SCORES),
    "measures": lambda labels, **o: ev.measures(labels, SCORES, 0.5, resamples=9, **o),
    "roc_auc": lambda labels: ev.roc_auc(labels, SCORES),
    "roc_points": lambda labels: ev.roc_points(labels, SCORES),
    "auc_interval": lambda labels, **o: ev.auc_interval(labels, SCORES, **o),
    "bootstrap_interval": lambda labels, **o: ev.bootstrap_interval(
        labels, SCORES, resamples=9, **o
    ),
    "calibration": lambda labels, **o: ev.calibration(labels, SCORES, **o),
    "expected_calibration_error": lambda labels: ev.expected_calibration_error(
        labels, SCORES
    ),
    "net_benefit": lambda labels: ev.net_benefit(labels, SCORES, 0.2),
    "sensitivity_at": lambda labels, **o: ev.sensitivity_at(
        labels, SCORES, specificity=0.5, resamples=9, **o
    ),
    "partial_auc": lambda labels, **o: ev.partial_auc(
        labels, SCORES, specificity=0.5, **o
    ),
    "smooth_calibration": lambda labels, **o: ev.smooth_calibration(
        labels, SCORES, **o
    ),
    "brier_parts": lambda labels: ev.brier_parts(labels, SCORES),
    "subgroup_calibration": lambda labels, **o: ev.subgroup_calibration(
        labels, SCORES, ["A", "B"] * 4, **o
    ),
    "adjusted_difference": lambda labels, **o: ev.adjusted_difference(
        labels, SCORES > 0.5, ["A", "B"] * 4, **o
    ),
    "predictive_value_test": lambda labels, **o: ev.predictive_value_test(
        labels, SCORES > 0.5, OTHERS > 0.5, **o
    ),
    "net_benefit_test": lambda labels, **o: ev.net_benefit_test(
        labels, SCORES, OTHERS, 0.5, **o
    ),
    "average_precision_test": lambda labels, **o: ev.average_precision_test(
        labels, SCORES, OTHERS, resamples=9, **o
    ),
    "several_sites": lambda labels, **o: ev.several_sites(
        labels, SCORES, np.repeat(["A", "B"], 4)[[0, 4, 1, 5, 2, 6, 3, 7]], **o
    ),
    "delong_test": lambda labels, **o: ev.delong_test(labels, SCORES, OTHERS, **o),
    "unpaired_delong_test": lambda labels, **o: ev.unpaired_delong_test(
        (labels, SCORES), (labels, OTHERS), **o
    ),
    "permutation_test": lambda labels, **o: ev.permutation_test(
        labels, SCORES, OTHERS, **o
    ),
    "mcnemar_test": lambda labels, **o: ev.mcnemar_test(
        labels, SCORES > 0.5, OTHERS > 0.5, **o
    ),
    "cohen_kappa": lambda labels, **o: ev.cohen_kappa(labels, SCORES > 0.5, **o),
    "fleiss_kappa": lambda labels, **o: ev.fleiss_kappa([labels, labels[::-1]], **o),
    "reclassification": lambda labels, **o: ev.reclassification(
        labels, SCORES, OTHERS, **o
    ),
    "mrmc": lambda labels, **o: ev.mrmc(
        labels, [[SCORES, OTHERS], [OTHERS, SCORES]], **o
    ),
}
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
TABLE = pd.DataFrame({"patient_id": range(8), "label": LABELS, "probability": SCORES})
LEVELS = {
    **{name: lambda name=name, **o: CALLS[name](LABELS, **o) for name in CALLS},
    "imputed_table_one": lambda **o: ev.imputed_table_one(
        TABLE.astype(object), "label", ["probability"], imputations=2, **o
    ),
    "imputed_logistic": lambda **o: ev.imputed_logistic(
        TABLE, LABELS, ["probability"], imputations=2, **o
    ),
    "pool_imputations": lambda **o: ev.pool_imputations([1, 2], [1, 1], **o),
    "weighted_kappa": lambda **o: ev.weighted_kappa([1, 2, 3], [1, 2, 2], **o),
    "gwet_agreement": lambda **o: ev.gwet_agreement([[1, 2], [1, 1]], **o),
    "intraclass_correlation": lambda **o: ev.intraclass_correlation(
        [[1, 2, 3], [1, 2, 2]], **o
    ),
    "random_effects": lambda **o: ev.random_effects([1.0, 2.0], [0.5, 0.5], **o),
    "proportion_interval": lambda **o: ev.proportion_interval(1, 2, **o),
    "sample_size_proportion": lambda **o: ev.sample_size_proportion(0.9, 0.1, **o),
    "sample_size_auc": lambda **o: ev.sample_size_auc(0.9, 0.1, **o),
    "sample_size_validation": lambda **o: ev.sample_size_validation(
        prevalence=0.3, auc=0.8, **o
    ),
    "subgroups": lambda **o: ev.subgroups(TABLE, "label", 0.5, **o),
    "compare_models": lambda **o: ev.compare_models({"a": TABLE, "b": TABLE}, **o),
    "reader_study": lambda **o: ev.reader_study(None, **o),  # refused before it is read
}


def test_every_function_of_labels_is_tried():
    takes = [n for n in ev.__all__ if SIGNATURES[n].startswith(("(labels", "(calls"))]
    assert {*takes, "unpaired_delong_test"} == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_labels_are_0_and_1_or_bool_and_words_are_refused(name):
    expected = repr(CALLS[name](LABELS))
    assert repr(CALLS[name](LABELS == 1)) == expected
    assert repr(CALLS[name](pd.Series(LABELS, index=range(8, 0, -1)))) == expected
    with pytest.raises(ValueError, match=r"must be 0 or 1.*'benign'.*mapped first"):
        CALLS[name](np.where(LABELS == 1, "malignant", "benign"))


@pytest.mark.parametrize("name", [n for n in SIGNATURES if "level=" in SIGNATURES[n]])
def test_a_level_in_percent_is_refused(name):
    with pytest.raises(ValueError, match=r"^`level` must be in \(0, 1\). Received: 95"):
        LEVELS[name](level=95)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ev.measures(LABELS, SCORES, 45), r"in \(0, 1\]. Received: 45"),
        (lambda: ev.subgroups(TABLE, "label", 45), "`threshold` in .* Received: 45"),
        (lambda: ev.subgroups(TABLE, "device", 0.5), "`groups` .* Received: 'device'"),
        (
            lambda: ev.compare_models({"a": TABLE, "b": TABLE}, {"a": 0.5}),
            "`thresholds` must be of every model. Received: none of b",
        ),
        (lambda: ev.table_one(TABLE, "sex"), "columns of the table. Received: 'sex'"),
    ],
)
def test_what_is_easily_mistaken_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
