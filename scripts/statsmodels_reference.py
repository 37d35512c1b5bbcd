r"""Writes what statsmodels says of P values, calls, shares, ratios and calibration.

usgland runs and is tested without statsmodels, so this runs once, in an environment
of its own:

    python3.11 -m venv statsmodels
    statsmodels/bin/pip install statsmodels==0.15.0
    statsmodels/bin/python scripts/statsmodels_reference.py \\
        tests/reference/statsmodels.json
"""

import json
import sys
from pathlib import Path

import numpy as np
import statsmodels
import statsmodels.api as sm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
)

# How many cases both read right, only the first, only the second, and neither.
TABLES = (
    (30, 5, 2, 3),
    (20, 0, 6, 1),
    (101, 59, 121, 33),
    (10, 1, 0, 0),
    (50, 12, 12, 4),
    (3, 0, 0, 2),
)


def families() -> list[dict]:
    """P values of several sizes of family, and what Holm makes of them."""
    random = np.random.default_rng(1979)
    drawn = [np.round(random.uniform(size=n) ** 3, 6).tolist() for n in (3, 6, 10)]
    groups = [[0.04], [0.01, 0.04, 0.03, 0.005], [0.02, 0.02, 0.02], [0.5, 0.9], *drawn]
    return [
        {"p_values": group, "holm": multipletests(group, method="holm")[1].tolist()}
        for group in groups
    ]


def paired_calls() -> list[dict]:
    """Tables of two readings of the same cases, and McNemar's exact P."""
    tables = []
    for both, only_a, only_b, neither in TABLES:
        result = mcnemar([[both, only_a], [only_b, neither]], exact=True)
        counts = {"both": both, "only_a": only_a, "only_b": only_b, "neither": neither}
        tables.append({**counts, "p_value": min(1.0, float(result.pvalue))})
    return tables


def independent_shares() -> list[dict]:
    """Two independent shares, and Newcombe's interval of their difference."""
    shares = []
    for right_a, n_a, right_b, n_b in ((56, 70, 48, 80), (9, 10, 3, 10), (5, 5, 0, 6)):
        low, high = confint_proportions_2indep(
            right_a, n_a, right_b, n_b, compare="diff", method="newcomb", alpha=0.05
        )
        counts = {"right_a": right_a, "n_a": n_a, "right_b": right_b, "n_b": n_b}
        shares.append({**counts, "low": float(low), "high": float(high)})
    return shares


def proportions() -> list[dict]:
    """Shares, and their intervals of Wilson and of Clopper and Pearson."""
    shares = []
    for successes, cases in ((0, 7), (1, 1), (35, 36), (34, 36), (20, 20), (412, 1000)):
        for level in (0.9, 0.95):
            share = {"successes": successes, "cases": cases, "level": level}
            for name, theirs in (("wilson", "wilson"), ("clopper_pearson", "beta")):
                ends = proportion_confint(successes, cases, 1 - level, theirs)
                share[name] = [float(end) for end in ends]
            shares.append(share)
    return shares


def likelihood_ratios() -> list[dict]:
    """Confusion matrices, and intervals of both ratios on the log scale."""
    ratios = []
    for tn, fp, fn, tp in ((34, 2, 1, 35), (17, 4, 6, 14), (90, 60, 30, 45)):
        matrix = {"tn": tn, "fp": fp, "fn": fn, "tp": tp}
        for name, malignant, benign in (("positive", tp, fp), ("negative", fn, tn)):
            ends = confint_proportions_2indep(
                malignant, tp + fn, benign, tn + fp, compare="ratio", method="log"
            )
            matrix[name] = [float(end) for end in ends]
        ratios.append(matrix)
    return ratios


def calibration() -> list[dict]:
    """Cases of independent and of clustered patients: slope, and shift of logits."""
    random, cases = np.random.default_rng(1958), []
    for patients in (120, 45):
        labels = random.integers(0, 2, 120)
        logits = 0.9 * (2 * labels - 1) + random.normal(size=120)
        probabilities = np.round(1 / (1 + np.exp(-logits)), 6)
        ids = (
            random.permutation(120) if patients == 120 else random.integers(0, 45, 120)
        )
        logits, ones = np.log(probabilities / (1 - probabilities)), np.ones((120, 1))
        clustered = {} if patients == 120 else {"cov_type": "cluster"}
        if clustered:  # By patients / (patients - 1) alone.
            found, numbers = len(set(ids)), np.unique(ids, return_inverse=True)[1]
            clustered["cov_kwds"] = {"groups": numbers, "use_correction": False}
            scale = found / (found - 1)
        family = sm.families.Binomial()
        line = sm.GLM(labels, np.column_stack([ones, logits]), family=family)
        shift = sm.GLM(labels, ones, family=family, offset=logits)
        fits = [
            model.fit(tol=1e-14, maxiter=100, **clustered) for model in (line, shift)
        ]
        wider = scale**0.5 if clustered else 1.0
        cases.append(
            {
                "labels": labels.tolist(),
                "probabilities": probabilities.tolist(),
                "patient_ids": ids.tolist(),
                "slope": [float(fits[0].params[1]), float(fits[0].bse[1] * wider)],
                "intercept_in_the_large": [
                    *(float(fits[1].params[0]), float(fits[1].bse[0] * wider))
                ],
            }
        )
    return cases


def predictive_values() -> list[dict]:
    """Calls of the same cases, and the difference of PPVs and NPVs by GEE."""
    random, cases = np.random.default_rng(2000), []
    for patients in (90, 40):
        labels = random.integers(0, 2, 90)
        calls = [
            np.where(random.uniform(size=90) < right, labels, 1 - labels)
            for right in (0.85, 0.7)
        ]
        ids = np.arange(90) if patients == 90 else random.integers(0, 40, 90)
        case = {"labels": labels, "calls_a": calls[0], "calls_b": calls[1]}
        case = {name: array.tolist() for name, array in case.items()}
        for name, label in (("ppv", 1), ("npv", 0)):
            rows = [
                (labels[i] == label, test, ids[i])
                for i in range(90)
                for test in (0, 1)
                if calls[test][i] == label
            ]
            right, test, owner = (
                np.array(column) for column in zip(*rows, strict=True)
            )
            model = sm.GEE(
                right.astype(float),
                np.column_stack([np.ones(len(test)), test == 0]).astype(float),
                groups=owner,
                family=sm.families.Gaussian(),
                cov_struct=sm.cov_struct.Independence(),
            ).fit()
            case[name] = [float(model.params[1]), float(model.bse[1])]
        cases.append(case | {"patient_ids": ids.tolist()})
    return cases


def subgroups() -> dict:
    """Three groups: calibration, interactions, and margins adjusted for a size."""
    random, family = np.random.default_rng(2014), sm.families.Binomial()
    groups = random.choice(["A", "B", "C"], 300)
    logits = random.normal(0, 1.5, 300)
    truth = 0.7 * logits + np.select([groups == "B"], [0.8], 0.0)
    labels = (random.uniform(size=300) < 1 / (1 + np.exp(-truth))).astype(int)
    probabilities = np.round(1 / (1 + np.exp(-logits)), 6)
    logits, ones = np.log(probabilities / (1 - probabilities)), np.ones((300, 1))
    dummies = np.column_stack([groups == "B", groups == "C"]).astype(float)
    both = np.column_stack([ones, dummies, logits, dummies * logits[:, None]])
    slopes = sm.GLM(labels, both, family=family).fit(tol=1e-14)
    shifts = sm.GLM(
        labels, np.column_stack([ones, dummies]), family=family, offset=logits
    ).fit(tol=1e-14)
    case = {
        "p_slope": float(slopes.wald_test(np.eye(6)[4:], scalar=True).pvalue),
        "p_intercept_in_the_large": float(
            shifts.wald_test(np.eye(3)[1:], scalar=True).pvalue
        ),
        "slope": {},
        "intercept_in_the_large": {},
        "n": {name: int((groups == name).sum()) for name in "ABC"},
    }
    for name in "ABC":
        own = groups == name
        design = np.column_stack([ones[own], logits[own]])
        line = sm.GLM(labels[own], design, family=family).fit(tol=1e-14)
        shift = sm.GLM(labels[own], ones[own], family=family, offset=logits[own])
        shift = shift.fit(tol=1e-14)
        case["slope"][name] = [float(line.params[1]), float(line.bse[1])]
        case["intercept_in_the_large"][name] = [
            *(float(shift.params[0]), float(shift.bse[0]))
        ]
    size = np.round(random.normal(20, 6, 300), 3)
    chance = 1 / (1 + np.exp(-(size - 16) / 5 - 0.5 * (groups == "C")))
    right = (random.uniform(size=300) < chance).astype(int)
    # statsmodels changes one dummy and leaves the others: two groups, so.
    two = groups != "C"
    design = np.column_stack([ones[two], dummies[two, 0], size[two]])
    margins = sm.Logit(right[two], design).fit(disp=0, tol=1e-14)
    margins = margins.get_margeff(at="overall", dummy=True)
    case["margin"] = [float(margins.margeff[0]), float(margins.margeff_se[0])]
    arrays = {"labels": labels, "probabilities": probabilities, "groups": groups}
    arrays |= {"size": size, "right": right}
    return case | {name: array.tolist() for name, array in arrays.items()}


def readings() -> dict:
    """Times and calls of three readers by order, errors clustered by patient."""
    random = np.random.default_rng(2012)
    reader, patient = np.repeat([0, 1, 2], 60), np.tile(np.arange(60) // 2, 3)
    help_, order = np.tile([0, 1], 90), np.concatenate([random.permutation(60)] * 3)
    label = (patient % 2).astype(float)
    seconds = np.exp(3 - 0.01 * order + random.normal(0, 0.3, 180)).round(3)
    right = (random.uniform(size=180) < 0.6 + 0.2 * help_).astype(int)
    cell = np.eye(6)[2 * reader + help_]
    kept = {"groups": patient, "use_correction": False}
    time = sm.OLS(np.log(seconds), np.column_stack([cell, (order + 1) / 10]))
    calls = sm.GLM(
        right,
        np.column_stack(
            [np.eye(3)[reader], label, (order + 1) / 10, np.log2(seconds), help_]
        ),
        family=sm.families.Binomial(),
    )
    wider = (30 / 29) ** 0.5
    time = time.fit(cov_type="cluster", cov_kwds=kept)
    calls = calls.fit(cov_type="cluster", cov_kwds=kept, tol=1e-14)
    case = {
        "time, order": [time.params[-1], time.bse[-1] * wider],
        "right calls, order": [calls.params[-3], calls.bse[-3] * wider],
        "right calls, seconds": [calls.params[-2], calls.bse[-2] * wider],
        "right calls, help": [calls.params[-1], calls.bse[-1] * wider],
    }
    arrays = {"reader": reader, "patient_id": patient, "clinical": help_}
    arrays |= {"order": order + 1, "label": label.astype(int), "seconds": seconds}
    arrays |= {"right": right}
    return case | {name: array.tolist() for name, array in arrays.items()}


def main(path: Path) -> None:
    """Writes the file."""
    blocks = {
        "statsmodels": statsmodels.__version__,
        "holm": families(),
        "mcnemar": paired_calls(),
        "newcombe_unpaired": independent_shares(),
        "proportions": proportions(),
        "ratios": likelihood_ratios(),
        "calibration": calibration(),
        "predictive": predictive_values(),
        "subgroups": subgroups(),
        "readings": readings(),
    }
    lines = [f"{json.dumps(name)}: {json.dumps(blocks[name])}" for name in blocks]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
