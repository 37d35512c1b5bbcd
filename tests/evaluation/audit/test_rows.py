"""Findings about rows of measures, of papers made up for the test."""

from usgland.evaluation.audit.published_file import AuditFile
from usgland.evaluation.audit.rows import audit_rows


def findings(rows, stated=None, **others):
    published = {
        "title": "A paper",
        "largest": 60,
        "cases": {"study": stated or {}},
        "rows": {name: {"cases": "study", **row} for name, row in rows.items()},
    }
    return audit_rows(AuditFile.model_validate(published | others))


def of_kind(checked, kind):
    return [finding for finding in checked if finding.kind == kind]


def test_rows_that_fit_the_stated_cases_show_their_matrices():
    # 9/10 and 15/20; accuracy 24/30; F1 of the malignant class 18/24.
    row = {"sensitivity": "0.90", "specificity": "0.75", "accuracy": "0.80"}
    checked, fits = findings({"A": row}, {"malignant": 10, "benign": 20})
    assert [finding.fits for finding in checked] == [True]
    assert checked[0].text == (
        "can be obtained from the stated 10 malignant + 20 benign patients"
    )
    assert checked[0].tried == ("sensitivity 9/10, specificity 15/20",)
    assert fits["A"][0] == (9, 1, 15, 5)


def test_rows_of_other_cases_than_stated_give_the_nearest_that_fit_all():
    rows = {
        "A": {"sensitivity": "0.850", "specificity": "0.300"},
        "B": {"sensitivity": "0.700", "specificity": "0.600"},
    }
    checked, fits = findings(rows, {"malignant": 20, "benign": 21})
    assert not checked[0].fits
    assert checked[0].where == "study, all rows"
    assert (
        "cannot be obtained from the stated 20 malignant + 21 benign" in checked[0].text
    )
    # 0.3 and 0.6 have 10 as the least denominator: 20 is the nearest to 21.
    assert "are 20 malignant + 20 benign" in checked[0].text
    benign = {name: fit[0].tn + fit[0].fp for name, fit in fits.items()}
    assert benign == {"A": 20, "B": 20}


def test_one_row_of_several_that_does_not_fit_is_named():
    rows = {
        "A": {"sensitivity": "0.50", "specificity": "0.50"},
        "B": {"sensitivity": "0.33", "specificity": "0.50"},
    }
    checked, _ = findings(rows, {"malignant": 10, "benign": 10})
    assert checked[0].where == "study, 1 of 2 rows"
    assert checked[0].tried[0] == "10 + 10 as stated: no matrix for B"


def test_more_cases_than_patients_point_to_another_unit():
    # 35/36 and 17/18 are the smallest shares that are printed so.
    row = {"sensitivity": "0.972", "specificity": "0.944"}
    checked, _ = findings({"A": row}, {"malignant": 20, "benign": 21})
    assert "36 malignant + 18 benign" in checked[0].text
    assert "which is more than the 41 patients" in checked[0].text
    assert "such as images" in checked[0].text
    checked, _ = findings({"A": row}, {"unit": "image", "malignant": 20, "benign": 21})
    assert "such as images" not in checked[0].text


def test_a_row_of_unknown_cases_gives_the_fewest():
    row = {"sensitivity": "0.667", "specificity": "0.750"}
    checked, fits = findings({"A": row}, largest=30)
    assert checked[0].fits
    assert (
        checked[0].text
        == "can be obtained; the fewest cases are 3 malignant + 4 benign"
    )
    tp, fn, tn, fp = fits["A"][0]
    assert (tp + fn, tn + fp) == (3, 4)


def test_of_a_stated_total_every_share_of_malignant_cases_is_tried():
    # BMC Cancer 2024;24:510: 89 tumours of the internal test set, 88 of the external.
    internal = {"sensitivity": "78.2%", "specificity": "92.7%", "accuracy": "88.5%"}
    checked, fits = findings({"A": internal}, {"unit": "lesion", "total": 89})
    assert [finding.fits for finding in checked] == [False]
    assert checked[0].text == (
        "cannot be obtained from the stated 89 lesions, however many of them are "
        "malignant. The nearest number that gives the row is 78, 23 malignant + 55 "
        "benign"
    )
    assert fits["A"][0] == (18, 5, 51, 4)
    tried = [
        (m, tp, tn)
        for m in range(1, 89)
        for tp in range(m + 1)
        for tn in range(89 - m + 1)
        if 0.782 <= tp / m < 0.783 or 0.7815 <= tp / m <= 0.7825
        if 0.927 <= tn / (89 - m) < 0.928 or 0.9265 <= tn / (89 - m) <= 0.9275
        if 0.885 <= (tp + tn) / 89 < 0.886 or 0.8845 <= (tp + tn) / 89 <= 0.8855
    ]
    assert tried == []
    rows = {"A": internal, "B": internal}
    checked, _ = findings(rows, {"unit": "lesion", "total": 78})
    assert checked[0].fits and checked[0].where == "study, all rows"
    assert checked[0].text == "can be obtained from the stated 78 lesions: 23 + 55 fit"
    nothing = {"sensitivity": "0.5", "specificity": "0.5", "accuracy": "0.9"}
    checked, _ = findings({"A": nothing}, {"total": 20})
    assert checked[0].text == (
        "cannot be obtained together from the stated 20 patients, nor from others"
    )


def test_a_row_that_fits_no_prevalence_says_what_it_would_fit_without():
    # Of equal numbers: accuracy 0.80 and kappa 0.60 belong together; 0.70 does not.
    row = {
        "sensitivity": "0.800",
        "specificity": "0.800",
        "accuracy": "0.800",
        "kappa": "0.700",
    }
    checked, fits = findings({"A": row})
    assert not checked[0].fits and not fits
    assert "at any prevalence" in checked[0].text
    assert "without accuracy: none fits at any prevalence" in checked[0].tried
    assert any(
        text.startswith("without kappa: ") and " fit" in text
        for text in checked[0].tried
    )


def test_a_row_that_only_needs_more_cases_is_not_called_impossible():
    # 617/1000 and 501/1000 need far more than 60 cases.
    row = {"sensitivity": "0.61700", "specificity": "0.50100", "accuracy": "0.55900"}
    checked, _ = findings({"A": row})
    assert "of up to 60 + 60 cases" in checked[0].text
    assert "any prevalence" not in checked[0].text
    assert any("not excluded from 50.0% to 50.0%" in text for text in checked[0].tried)


def test_stated_rows_that_fit_no_common_cases_are_looked_at_alone():
    rows = {
        "A": {"sensitivity": "0.5", "specificity": "0.5", "accuracy": "0.9"},
        "B": {"sensitivity": "0.5", "specificity": "0.5"},
    }
    checked, fits = findings(rows, {"malignant": 10, "benign": 10})
    assert "nor together from others" in checked[0].text
    assert [
        (finding.where, finding.fits) for finding in of_kind(checked, "matrix")
    ] == [
        ("A", False),
        ("B", True),
    ]
    assert list(fits) == ["B"]


# 17/20 and 6/20: F1 is 34/51 = 0.667 of the malignant class, (34/51 + 12/29) / 2 =
# 0.540 on average. 18/20 and 15/20: 36/43 = 0.837 and (36/43 + 30/37) / 2 = 0.824.
F1_ROWS = {
    "A": {"sensitivity": "0.85", "specificity": "0.30", "f1": "0.540"},
    "B": {"sensitivity": "0.90", "specificity": "0.75", "f1": "0.837"},
}
EQUAL = {"malignant": 20, "benign": 20}


def test_f1_of_two_kinds_is_a_finding():
    checked, _ = findings(F1_ROWS, EQUAL)
    (f1,) = of_kind(checked, "f1")
    assert not f1.fits
    assert "only binary (of the malignant class) in 1 of 2; only macro" in f1.text
    assert f1.tried == ("A: macro or weighted", "B: binary")


def test_f1_of_one_kind_agrees():
    rows = F1_ROWS | {"B": F1_ROWS["B"] | {"f1": "0.824"}}
    (f1,) = of_kind(findings(rows, EQUAL)[0], "f1")
    assert f1.fits
    assert f1.text == "every row can be macro or weighted"


def test_an_auc_of_one_point_is_a_finding_and_another_is_named():
    rows = {
        "A": {"sensitivity": "0.85", "specificity": "0.30", "auc": "0.5750"},
        "B": {"sensitivity": "0.80", "specificity": "0.60", "auc": "0.7250"},
    }
    point, other = of_kind(findings(rows, EQUAL)[0], "auc")
    assert point.text.startswith("1 of 2 AUCs equal (sensitivity + specificity) / 2")
    assert other.where == "B"
    assert "AUC 0.7250 is not that of the row's one point, 0.7000" in other.text


def test_an_auc_of_a_whole_curve_is_no_finding():
    row = {"sensitivity": "0.85", "specificity": "0.30", "auc": "0.7"}
    assert of_kind(findings({"A": row}, EQUAL)[0], "auc") == []
