import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.stats import chi2_contingency, fisher_exact
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression

from usgland.cli.main import cli
from usgland.evaluation.baseline.imputed_estimates import (
    imputed_logistic,
    imputed_table_one,
    pool_imputations,
)
from usgland.evaluation.baseline.missing_values import impute, missing_values


def draw(seed=0, cases=200, missing=0.25):
    """Age depends on the label, and is missing more often where size is large."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, cases)
    size = 15 + 5 * label + 4 * rng.normal(size=cases)
    age = 40 + 8 * label + 0.8 * size + 5 * rng.normal(size=cases)
    shape = np.where(rng.uniform(size=cases) < 0.3 + 0.4 * label, "irregular", "round")
    whole = pd.DataFrame({"age": age, "size": size, "shape": shape, "label": label})
    lost = whole.astype(object).copy()
    lost.loc[rng.uniform(size=cases) < missing * size / 15, "age"] = ""
    lost.loc[rng.uniform(size=cases) < missing / 2, "shape"] = np.nan
    return whole, lost


def test_missing_values_are_counted_by_group_and_tested():
    rows = pd.DataFrame(
        {
            "label": ["benign"] * 30 + ["malignant"] * 30,
            "a": ([""] * 5 + ["1"] * 25) + ([None] * 14 + ["2"] * 16),
            "b": (["x"] * 30) + ([np.nan] * 3 + ["y"] * 27),
            "c": ["z"] * 60,
        }
    )
    table = missing_values(rows, "label").set_index("column")
    assert table.loc["a", ["benign", "malignant", "missing"]].tolist() == [5, 14, 19]
    expected = chi2_contingency([[5, 14], [25, 16]], correction=False).pvalue
    assert table.loc["a", "p_value"] == pytest.approx(expected)
    exact = fisher_exact([[0, 3], [30, 27]]).pvalue
    assert table.loc["b", "p_value"] == pytest.approx(exact)
    assert np.isnan(table.loc["c", "p_value"])


def test_rubins_rules_by_hand():
    estimates, variances = (
        np.array([1.0, 1.4, 0.9, 1.1]),
        np.array([0.1, 0.2, 0.1, 0.2]),
    )
    pooled = pool_imputations(estimates, variances, freedom=50)
    within, between = 0.15, np.sum((estimates - 1.1) ** 2) / 3
    total = within + 1.25 * between
    share = 1.25 * between / total
    observed = 51 / 53 * 50 * (1 - share)
    freedom = 1 / (share**2 / 3 + 1 / observed)
    assert pooled.value == pytest.approx(1.1)
    assert pooled.standard_error == pytest.approx(total**0.5)
    assert pooled.degrees_of_freedom == pytest.approx(freedom)
    half = student.ppf(0.975, freedom) * total**0.5
    assert (pooled.low, pooled.high) == pytest.approx((1.1 - half, 1.1 + half))
    assert pooled.missing_information == pytest.approx(share)


def test_estimates_that_agree_leave_their_own_interval():
    pooled = pool_imputations([0.5, 0.5], [0.04, 0.04], freedom=30)
    assert pooled.standard_error == pytest.approx(0.2)
    assert pooled.degrees_of_freedom == pytest.approx(31 / 33 * 30)
    assert pooled.missing_information == 0


def test_estimates_without_variance_of_their_own_have_no_bounds():
    pooled = pool_imputations([1, 2], [0, 0], freedom=10)
    assert (pooled.value, pooled.degrees_of_freedom) == (1.5, 0)
    assert np.isnan([pooled.low, pooled.high, pooled.p_value]).all()


def test_known_values_stay_and_the_missing_ones_vary():
    whole, lost = draw()
    copies = impute(lost, ["age", "size", "shape"], by="label", imputations=3)
    gone = (lost["age"] == "").to_numpy()
    assert gone.sum() > 20
    ages = np.stack([copy["age"] for copy in copies])
    assert np.allclose(ages[:, ~gone], whole["age"].to_numpy()[~gone])
    assert (ages[:, gone].std(axis=0) > 0).all()
    assert set(copies[0]["shape"]) == {"irregular", "round"}
    known = lost["shape"].notna()
    assert (copies[1]["shape"][known] == lost["shape"][known]).all()


def test_imputation_mends_the_mean_that_the_known_values_shift():
    errors = []
    for seed in range(4):
        whole, lost = draw(seed, 300, missing=0.4)
        table = imputed_table_one(
            lost.assign(label=lost["label"].map({0: "benign", 1: "malignant"})),
            "label",
            ["age", "size"],
            imputations=4,
            seed=seed,
        )
        row = table.set_index("variable").loc["age"]
        true = whole.groupby("label")["age"].mean()
        known = pd.to_numeric(lost["age"], errors="coerce").groupby(whole["label"])
        errors.append([row["malignant"] - true[1], known.mean()[1] - true[1]])
        assert 0 < row["missing_information"] < 0.8
    ours, of_known = np.mean(errors, axis=0)
    assert abs(ours) < abs(of_known)


def test_without_missing_values_it_is_the_plain_regression():
    whole, _ = draw(3)
    table = imputed_logistic(whole, whole["label"], ["age", "size"], imputations=2)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    model.fit(whole[["age", "size"]], whole["label"])
    assert np.log(table["odds_ratio"].to_numpy()) == pytest.approx(
        model.coef_[0], abs=1e-4
    )
    assert (table["missing_information"] == 0).all()


def test_words_become_marks_and_missing_ones_widen_the_interval():
    whole, lost = draw(5)
    columns = ["age", "shape"]
    full = imputed_logistic(whole, whole["label"], columns, imputations=2)
    part = imputed_logistic(lost, whole["label"], columns, imputations=5)
    assert part["term"].tolist() == ["age", "shape round"]
    width = [np.log(t["high"] / t["low"]) for t in (full, part)]
    assert (width[1] > width[0]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: missing_values(r, "sex"), "columns of the table. Received: 'sex'"),
        (lambda r: missing_values(r.assign(g="x"), "g"), "two groups or more"),
        (lambda r: impute(r, ["a"], imputations=1), "`imputations` must be 2 or more"),
        (lambda r: impute(r.assign(b=""), ["a", "b"]), "`b` must have values. Rec"),
        (lambda r: impute(r, ["b"], by="a"), "`a` must have values, all of them"),
        (lambda r: imputed_table_one(r, "b"), "must make two groups"),
        (
            lambda r: imputed_table_one(r.assign(b=["x", "x", "y"]), "b"),
            "two groups of two patients or more. Received: .*'y': 1",
        ),
        (lambda r: pool_imputations([1.0, np.nan], [1, 1]), "must be finite.*nan"),
        (lambda r: pool_imputations([1.0, 2.0], [1, -1]), "0 or more.*-1"),
        (lambda r: imputed_logistic(r, [1], ["a"]), "one entry a row, 3"),
        (lambda r: pool_imputations([1.0], [1.0]), "two imputations or more"),
    ],
)
def test_mistakes_are_named(call, message):
    rows = pd.DataFrame({"a": ["1", "", "3"], "b": ["1", "2", "3"]})
    with pytest.raises(ValueError, match=message):
        call(rows)


def manifest(tmp_path):
    _, lost = draw(1, 60)
    rows = lost.assign(
        image=[f"{n}.png" for n in range(60)],
        patient_id=range(60),
        label=lost["label"].map({0: "benign", 1: "malignant"}),
    )
    path = tmp_path / "manifest.csv"
    rows.rename(columns={"age": "age_years"}).to_csv(path, index=False)
    return path


def test_the_command_shows_and_writes_what_is_missing(tmp_path):
    call = ["table1", str(manifest(tmp_path)), "--columns", "age_years,shape"]
    call += ["--missing", "--impute", "3", "--output", str(tmp_path / "out")]
    done = CliRunner(env={"COLUMNS": "100"}).invoke(cli, call)
    assert done.exit_code == 0, done.output
    assert "Missing values" in done.output
    assert "filled in 3 times" in " ".join(done.output.split())
    assert max(map(len, re.findall(r"\.(\d+)%", done.output))) == 1
    text = (tmp_path / "out" / "missing.md").read_text()
    assert "Means and shares, imputed" in text


def test_counts_have_no_missing_values_and_three_groups_no_difference(tmp_path):
    done = CliRunner().invoke(cli, ["table1", "--from-counts", "a.yaml", "--missing"])
    assert done.exit_code == 2
    assert "Expected no --missing or --impute beside --from-counts" in done.stderr
    path = manifest(tmp_path)
    rows = pd.read_csv(path).assign(grade=[0, 1, 2] * 20)
    rows.to_csv(path, index=False)
    call = ["table1", str(path), "--by", "grade", "--columns", "size", "--impute", "2"]
    done = CliRunner().invoke(cli, call)
    assert done.exit_code == 1
    assert "--impute: expected two groups of `grade`" in done.stderr
    assert "Received: 0 (20), 1 (20), 2 (20)" in done.stderr
    assert done.stdout == ""  # it says so before anything is shown or written
    rows.assign(grade=[0] + [1] * 59).to_csv(path, index=False)
    done = CliRunner().invoke(cli, call)
    assert "Received: 0 (1), 1 (59)" in done.stderr
