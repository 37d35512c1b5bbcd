"""The Van Dyke data: what MRMCaov and RJafroc print of them, see the script there."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import f as fisher
from scipy.stats import ttest_1samp, ttest_rel

from usgland.evaluation.statistics.mrmc import (
    SCOPES,
    compare_modalities,
    compare_with_model,
    mean_of_readers,
)
from usgland.evaluation.statistics.reader_estimates import estimate_measure, mrmc

VAN_DYKE = json.loads(
    (Path(__file__).parents[2] / "reference" / "van_dyke.json").read_text()
)
LABELS = np.array(VAN_DYKE["labels"])
GRADES = np.array(VAN_DYKE["grades"])  # (modalities, readers, cases)
READERS = GRADES.shape[1]


@pytest.fixture(scope="module")
def van_dyke():
    values, covariance = estimate_measure(
        "roc_auc", LABELS, GRADES.reshape(10, -1), method="jackknife"
    )
    return values.reshape(2, READERS), covariance


def numbers(one):
    return [one.value, one.standard_error, one.degrees_of_freedom, one.low, one.high]


def test_readings_alone_give_the_same_analysis(van_dyke):
    found = mrmc(LABELS, GRADES, method="jackknife")
    parts, scopes = compare_modalities(*van_dyke, level=0.95)
    assert found.components == parts and list(found[1:4]) == scopes
    assert np.array_equal(found.values, van_dyke[0])
    calls = (GRADES >= 3).astype(int)
    share = mrmc(LABELS, calls, measure="sensitivity", level=0.9)
    assert share.values == pytest.approx(calls[:, :, LABELS == 1].mean(axis=2))
    assert mrmc(LABELS, GRADES)[1:] == mrmc(LABELS, GRADES, method="delong")[1:]


def test_the_areas_are_those_that_rjafroc_prints(van_dyke):
    printed = np.array(VAN_DYKE["rjafroc"]["aucs"])
    assert van_dyke[0] == pytest.approx(printed, abs=5.1e-5)


def test_readers_and_cases_random_agrees_with_mrmcaov_to_all_its_digits(van_dyke):
    printed = VAN_DYKE["mrmcaov"]
    parts, (random, _, _) = compare_modalities(*van_dyke, level=0.95)
    found = [parts.variance, parts.covariance_same_reader]
    found += [parts.covariance_same_modality, parts.covariance_neither]
    expected = [printed[name] for name in ("error_variance", "cov1", "cov2", "cov3")]
    assert found == pytest.approx(expected, abs=5.1e-11)
    assert parts.ms_modality == pytest.approx(printed["ms_modality"], abs=5.1e-10)
    assert parts.ms_interaction == pytest.approx(printed["ms_interaction"], abs=5.1e-11)
    assert parts.ms_reader == pytest.approx(VAN_DYKE["rjafroc"]["ms_reader"], abs=1e-6)
    assert numbers(random) == pytest.approx(printed["difference"], rel=5e-7)
    assert random.statistic == pytest.approx(printed["t"], abs=5.1e-7)
    assert random.statistic**2 == pytest.approx(printed["f"], abs=5.1e-7)
    assert random.p_value == pytest.approx(printed["p_value"], abs=5.1e-9)


def test_fixed_readers_and_fixed_cases_agree_with_rjafroc(van_dyke):
    _, (_, readers, cases) = compare_modalities(*van_dyke, level=0.95)
    found = [readers.value, readers.standard_error, readers.low, readers.high]
    expected = VAN_DYKE["rjafroc"]["readers_fixed"]
    assert [*found, readers.p_value] == pytest.approx(expected, abs=5.1e-5)
    expected = VAN_DYKE["rjafroc"]["cases_fixed"]
    assert [*numbers(cases), cases.p_value] == pytest.approx(expected, abs=5.1e-5)


def test_means_of_each_modality_agree_with_mrmcaov_and_rjafroc(van_dyke):
    values, covariance = van_dyke
    for index in range(2):
        at = slice(READERS * index, READERS * (index + 1))
        random, readers, cases = mean_of_readers(
            values[index], covariance[at, at], level=0.95
        )
        printed = VAN_DYKE["mrmcaov"]["means"][index]
        assert numbers(random) == pytest.approx(printed, abs=6e-6)
        printed = VAN_DYKE["rjafroc"]["means_readers_fixed"][index]
        found = [readers.value, readers.standard_error, readers.low, readers.high]
        assert found == pytest.approx(printed, abs=5.1e-5)
        printed = VAN_DYKE["rjafroc"]["means_cases_fixed"][index]
        assert numbers(cases) == pytest.approx(printed, abs=5.1e-5)


def test_each_reader_alone_agrees_with_rjafroc(van_dyke):
    values, covariance = van_dyke
    for reader, printed in enumerate(VAN_DYKE["rjafroc"]["each_reader"]):
        at = [reader, reader + READERS]
        _, (random, fixed, _) = compare_modalities(
            values[:, [reader]], covariance[np.ix_(at, at)], level=0.95
        )
        found = [fixed.value, fixed.standard_error, fixed.p_value]
        assert [*found, fixed.low, fixed.high] == pytest.approx(printed, abs=6e-5)
        assert np.isnan(random.p_value)
        assert random.reason == "one reader says nothing of other readers"


def test_delong_and_jackknife_nearly_agree_and_equal_plain_loops():
    readings = GRADES.reshape(10, -1)[[0, 4, 7]]
    values, jackknife = estimate_measure(
        "roc_auc", LABELS, readings, method="jackknife"
    )
    _, delong = estimate_measure("roc_auc", LABELS, readings, method="delong")
    assert jackknife == pytest.approx(delong, rel=0.03, abs=2e-5)
    left_out = [
        [plain_area(np.delete(LABELS, case), np.delete(one, case)) for one in readings]
        for case in range(len(LABELS))
    ]
    cases = len(LABELS)
    expected = np.cov(np.array(left_out).T) * (cases - 1) ** 2 / cases
    assert jackknife == pytest.approx(expected, rel=1e-9)
    assert values == pytest.approx([plain_area(LABELS, one) for one in readings])


def plain_area(labels, grades):
    """Pair by pair."""
    above = grades[labels == 1][:, None] - grades[labels == 0][None, :]
    return ((above > 0) + 0.5 * (above == 0)).mean()


def test_sensitivity_and_specificity_vary_as_means_of_right_calls_do():
    calls = (GRADES.reshape(10, -1)[:3] >= 3).astype(int)
    for name, label in (("sensitivity", 1), ("specificity", 0)):
        values, covariance = estimate_measure(name, LABELS, calls, method="jackknife")
        right = (calls == LABELS)[:, label == LABELS]
        assert values == pytest.approx(right.mean(axis=1))
        assert covariance == pytest.approx(np.cov(right) / right.shape[1], rel=1e-9)


def test_a_balanced_accuracy_is_the_mean_of_the_two_shares():
    calls = (GRADES.reshape(10, -1)[:2] >= 3).astype(int)
    values, _ = estimate_measure("balanced_accuracy", LABELS, calls, method="delong")
    sensitivity = calls[:, LABELS == 1].mean(axis=1)
    specificity = 1 - calls[:, LABELS == 0].mean(axis=1)
    assert values == pytest.approx((sensitivity + specificity) / 2)


def test_patients_with_each_image_twice_vary_as_if_they_had_one():
    ids = np.arange(len(LABELS))
    twice = GRADES.reshape(10, -1)[:2]
    for method in ("delong", "jackknife"):
        _, once = estimate_measure("roc_auc", LABELS, twice, method=method)
        _, doubled = estimate_measure(
            "roc_auc",
            np.r_[LABELS, LABELS],
            np.hstack([twice, twice]),
            method=method,
            patient_ids=np.r_[ids, ids],
        )
        # DeLong's own 1 / (n - 1) has no room for the factor of clusters.
        assert doubled == pytest.approx(once, rel=0.03)


def test_an_anova_by_plain_sums_gives_the_same(van_dyke):
    values, covariance = van_dyke
    parts, (random, _, fixed) = compare_modalities(*van_dyke, level=0.9)
    mean, t, r = values.mean(), 2, READERS
    interaction = sum(
        (values[i, j] - values[i].mean() - values[:, j].mean() + mean) ** 2
        for i, j in itertools.product(range(t), range(r))
    ) / ((t - 1) * (r - 1))
    same, other = [], []
    for (i, j), (k, m) in itertools.product(
        itertools.product(range(t), range(r)), repeat=2
    ):
        if j != m:
            (same if i == k else other).append(covariance[i * r + j, k * r + m])
    below = interaction + r * max(np.mean(same) - np.mean(other), 0)
    freedom = below**2 / (interaction**2 / (r - 1))
    ratio = r * sum((values[i].mean() - mean) ** 2 for i in range(t)) / below
    assert random.p_value == pytest.approx(fisher.sf(ratio, 1, freedom), rel=1e-9)
    # With fixed cases it is the paired t test of the readers.
    assert fixed.p_value == pytest.approx(ttest_rel(*values).pvalue, rel=1e-9)
    assert parts.ms_interaction == pytest.approx(interaction)


def test_the_average_reader_against_a_model_equals_a_plain_second_account():
    """The model stands in for a sixth reader's cine grades: no published example."""
    readings = np.vstack([GRADES[0], GRADES[1, 4]])
    values, covariance = estimate_measure("roc_auc", LABELS, readings, method="delong")
    random, readers, cases = compare_with_model(
        values[:-1], values[-1], covariance, level=0.95
    )
    apart = values[:-1] - values[-1]
    mean_square = apart.var(ddof=1)
    # Cov(a - m, b - m) = Cov(a, b) - Cov(a, m) - Cov(b, m) + Var(m)
    pairs = [(a, b) for a in range(5) for b in range(5) if a != b]
    shared = np.mean(
        [
            covariance[a, b] - covariance[a, 5] - covariance[b, 5] + covariance[5, 5]
            for a, b in pairs
        ]
    )
    below = mean_square + 5 * max(shared, 0)
    assert random.value == pytest.approx(apart.mean())
    assert random.standard_error == pytest.approx((below / 5) ** 0.5)
    assert random.degrees_of_freedom == pytest.approx(4 * below**2 / mean_square**2)
    # With fixed readers it is the variance of one contrast of six areas.
    weights = np.r_[np.full(5, 0.2), -1]
    assert readers.standard_error == pytest.approx(
        (weights @ covariance @ weights) ** 0.5
    )
    assert cases.p_value == pytest.approx(ttest_1samp(apart, 0).pvalue)


def test_modalities_swapped_turn_the_sign_alone(van_dyke):
    values, covariance = van_dyke
    order = [*range(5, 10), *range(5)]
    _, before = compare_modalities(values, covariance, level=0.95)
    _, after = compare_modalities(
        values[::-1], covariance[np.ix_(order, order)], level=0.95
    )
    for a, b in zip(before, after, strict=True):
        assert [a.value, a.low, a.high] == pytest.approx([-b.value, -b.high, -b.low])
        assert a.p_value == pytest.approx(b.p_value)


def test_readers_in_another_order_change_nothing(van_dyke):
    values, covariance = van_dyke
    order = [3, 1, 4, 0, 2]
    both = [*order, *(5 + place for place in order)]
    _, before = compare_modalities(values, covariance, level=0.95)
    _, after = compare_modalities(
        values[:, order], covariance[np.ix_(both, both)], level=0.95
    )
    for a, b in zip(before, after, strict=True):
        assert a[1:-1] == pytest.approx(b[1:-1])


def test_the_same_readings_twice_leave_nothing_to_judge_by():
    values, covariance = estimate_measure(
        "roc_auc", LABELS, np.vstack([GRADES[0], GRADES[0]]), method="delong"
    )
    _, found = compare_modalities(values.reshape(2, 5), covariance, level=0.95)
    assert [one.scope for one in found] == list(SCOPES)
    for one in found:
        assert one.value == 0
        assert np.isnan(one.p_value)
        assert one.reason == "no variation to judge it by"


def test_readers_who_are_alike_leave_the_cases_to_vary():
    one = np.vstack([GRADES[0, 0]] * 2 + [GRADES[1, 0]] * 2)
    values, covariance = estimate_measure("roc_auc", LABELS, one, method="delong")
    _, (random, readers, cases) = compare_modalities(
        values.reshape(2, 2), covariance, level=0.95
    )
    assert np.isinf(random.degrees_of_freedom)
    assert random.p_value == pytest.approx(readers.p_value)
    assert cases.reason == "no variation to judge it by"


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"2 modalities .* Received: shape \(3, 2\)"):
        compare_modalities(np.zeros((3, 2)), np.eye(6), level=0.95)
    with pytest.raises(
        ValueError, match=r"must be \(4, 4\) .* Received: shape \(3, 3\)"
    ):
        compare_modalities(np.zeros((2, 2)), np.eye(3), level=0.95)
    with pytest.raises(
        ValueError, match=r"must be \(3, 3\) .* Received: shape \(2, 2\)"
    ):
        compare_with_model(np.zeros(2), 0.5, np.eye(2), level=0.95)


def test_figures_methods_and_readings_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="`name` must be one of .* Received: 'f1'"):
        estimate_measure("f1", LABELS, GRADES[0], method="delong")
    with pytest.raises(ValueError, match="Received: 'delong' for sensitivity"):
        estimate_measure("sensitivity", LABELS, GRADES[0], method="delong")
    with pytest.raises(ValueError, match=r"must be calls, 0 or 1, .* Received: \[1, 2"):
        estimate_measure("sensitivity", LABELS, GRADES[0], method="jackknife")
    with pytest.raises(ValueError, match=r"`readings` must be .* shape \(5, 114\)"):
        mrmc(LABELS, GRADES[0])
    with pytest.raises(ValueError, match="`name` must be one of"):
        mrmc(LABELS, GRADES, measure="f1")


def test_with_these_readers_the_variance_is_that_of_their_mean():
    # Cov2 below Cov3, which a clipped difference took for 0: P of .073 for .032.
    rng = np.random.default_rng(3)
    parts = rng.normal(size=(6, 40)) / 40
    parts[:3] += np.array([[1], [-1], [0]]) * rng.normal(size=40) / 20
    covariance = parts @ parts.T
    values = np.array([[0.9, 0.85, 0.8], [0.8, 0.8, 0.78]])
    components, (_, fixed, _) = compare_modalities(values, covariance, level=0.95)
    apart = components.covariance_same_modality - components.covariance_neither
    assert apart < 0
    contrast = np.repeat([1 / 3, -1 / 3], 3)
    exact = contrast @ covariance @ contrast
    assert fixed.standard_error**2 == pytest.approx(exact, rel=1e-12)
    (_, mean, _) = mean_of_readers(values[0], covariance[:3, :3], level=0.95)
    ones = np.full(3, 1 / 3)
    assert mean.standard_error**2 == pytest.approx(ones @ covariance[:3, :3] @ ones)


def unbalanced(seed=7):
    """Van Dyke's grades, a third of the readings not made."""
    skipped = np.random.default_rng(seed).uniform(size=(10, len(LABELS))) < 1 / 3
    return np.where(skipped, np.nan, GRADES.reshape(10, -1))


def plain_components(reading):
    """Case -> how its share of right pairs differs from the mean; by plain loops."""
    read = [case for case in range(len(LABELS)) if not np.isnan(reading[case])]
    apart = {}
    for label in (0, 1):
        own = [case for case in read if LABELS[case] == label]
        others = [case for case in read if LABELS[case] != label]
        shares = []
        for case in own:
            pairs = [
                (reading[case] - reading[other]) * (2 * label - 1) for other in others
            ]
            shares.append(np.mean([(x > 0) + 0.5 * (x == 0) for x in pairs]))
        for case, share in zip(own, shares, strict=True):
            weight = ((len(own) - 1) * len(own)) ** 0.5
            apart[case] = (share - np.mean(shares)) / weight
    return np.mean(shares), apart


def test_readers_of_other_cases_covary_by_the_cases_they_share():
    readings = unbalanced()
    values, covariance = estimate_measure("roc_auc", LABELS, readings, method="delong")
    plain = [plain_components(reading) for reading in readings]
    assert values == pytest.approx([mean for mean, _ in plain])
    for (i, (_, a)), (j, (_, b)) in itertools.product(enumerate(plain), repeat=2):
        shared = sum(a[case] * b[case] for case in a.keys() & b.keys())
        assert covariance[i, j] == pytest.approx(shared, abs=1e-12)
    _, jackknife = estimate_measure("roc_auc", LABELS, readings, method="jackknife")
    assert np.diag(jackknife) == pytest.approx(np.diag(covariance), rel=0.05)


def test_shares_of_other_cases_covary_by_the_cases_they_share():
    calls = np.where(np.isnan(unbalanced()), np.nan, unbalanced() >= 3)
    values, covariance = estimate_measure(
        "sensitivity", LABELS, calls, method="jackknife"
    )
    right = np.where(LABELS == 1, calls, np.nan)
    n = (~np.isnan(right)).sum(axis=1)
    assert values == pytest.approx(np.nanmean(right, axis=1))
    apart = np.nan_to_num(right - values[:, None]) / np.sqrt(n * (n - 1))[:, None]
    assert covariance == pytest.approx(apart @ apart.T)


def test_readers_of_blocks_that_share_no_case_do_not_covary():
    # A split plot: two readers the even cases, three the odd ones, in both modalities.
    blocks = (
        np.where(np.arange(READERS)[:, None] < 2, 0, 1) == np.arange(len(LABELS)) % 2
    )
    split = np.where(np.tile(blocks, (2, 1)), GRADES.reshape(10, -1), np.nan)
    for measure, method in (("roc_auc", "delong"), ("specificity", "jackknife")):
        readings = (
            split
            if measure == "roc_auc"
            else np.where(np.isnan(split), np.nan, split >= 3)
        )
        values, covariance = estimate_measure(measure, LABELS, readings, method=method)
        first = np.isin(np.arange(10) % READERS, (0, 1))
        assert not covariance[np.ix_(first, ~first)].any()
        for own, odd in ((first, 0), (~first, 1)):
            cases = np.arange(len(LABELS)) % 2 == odd
            alone = estimate_measure(
                measure, LABELS[cases], readings[np.ix_(own, cases)], method=method
            )
            assert values[own] == pytest.approx(alone[0])
            assert covariance[np.ix_(own, own)] == pytest.approx(alone[1])
    # Of five readers in blocks of two and three, 8 of 20 pairs covary.
    analysis = mrmc(LABELS, split.reshape(2, READERS, -1))
    parts = analysis.components
    _, covariance = estimate_measure("roc_auc", LABELS, split, method="delong")
    pairs = covariance[:READERS, :READERS] + covariance[READERS:, READERS:]
    mean = (pairs.sum() - np.trace(pairs)) / 40
    assert parts.covariance_same_modality == pytest.approx(mean)


def test_patients_of_several_images_covary_as_one_where_cases_are_missing():
    # Each image twice in every reading is as if once.
    once = unbalanced()
    twice, labels = np.hstack([once, once]), np.concatenate([LABELS, LABELS])
    ids = np.tile(np.arange(len(LABELS)), 2)
    for method in ("delong", "jackknife"):
        one = estimate_measure("roc_auc", LABELS, once, method=method)
        two = estimate_measure("roc_auc", labels, twice, method=method, patient_ids=ids)
        assert two[0] == pytest.approx(one[0])
        assert two[1] == pytest.approx(one[1])


@pytest.mark.slow
def test_the_analysis_of_split_plots_covers_what_it_should():
    """The mean of the covariances, those of no shared case as 0, is unbiased."""
    rng = np.random.default_rng(1)
    inside, studies = 0, 400
    labels = np.tile([0, 1], 60)
    read = np.repeat(np.eye(3), 2, axis=0)[:, np.arange(120) // 40] > 0
    for _ in range(studies):
        case, skill = rng.normal(size=120), rng.normal(0, 0.25, 6)
        noise = rng.normal(size=(2, 6, 120))
        seen = labels * (1.5 + skill)[:, None] + case + noise
        made = mrmc(labels, np.where(read, seen, np.nan)).both_random
        inside += made.low <= 0 <= made.high
    assert 0.92 < inside / studies < 0.995
