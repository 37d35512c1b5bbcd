"""How many cases a study needs to find a difference, or to exclude a loss.

Both models (or model and reader) judge the same cases; cases are independent.
"""

import math

from scipy.stats import binom, norm

from usgland.evaluation.planning.sample_size import benign_for, check_inside, fewest


def mcnemar_power(first: float, second: float, cases: int, *, alpha: float) -> float:
    """Power of McNemar's exact two-sided test, over all that can happen.

    Args:
        first: Share of cases that only the first calls right, in [0, 1].
        second: Share that only the second calls right.
        cases: Paired cases.
        alpha: Level of the test.

    Reference:
        Duffy, 1984, Asymptotic and exact power for the McNemar test, Biometrics 40.
    """
    differing = first + second
    if differing <= 0:
        return 0.0
    power = 0.0
    # Numbers of differing pairs that happen; the rest adds less than 1e-9.
    low = int(binom.ppf(1e-10, cases, differing))
    high = int(binom.isf(1e-10, cases, differing))
    for pairs in range(max(low, 1), high + 1):
        # The largest count of one side at which the test rejects; -1 if there is none.
        edge = int(binom.ppf(alpha / 2, pairs, 0.5))
        edge -= binom.cdf(edge, pairs, 0.5) > alpha / 2
        if edge >= 0:
            share = first / differing
            rejected = binom.cdf(edge, pairs, share) + binom.sf(
                pairs - edge - 1, pairs, share
            )
            power += float(binom.pmf(pairs, cases, differing) * rejected)
    return power


def cases_for_mcnemar(
    first: float, second: float, *, alpha: float, power: float
) -> int:
    """Fewest paired cases from which on McNemar's exact test has the power.

    Args:
        first: Share of cases that only the first calls right.
        second: Share that only the second calls right; another one.
        alpha: Level of the two-sided test.
        power: Wanted, in (alpha, 1).

    Raises:
        ValueError: If an argument is out of range or the shares are equal.

    Reference:
        Where the search begins: Connor, 1987, Sample size for testing differences in
        proportions for the paired-sample design, Biometrics 43:207.
    """
    _check_power(alpha, power)
    _check_discordant(first, second)
    if first == second:
        raise ValueError(f"`first` and `second` must differ. Received: {first} twice")
    differing, difference = first + second, first - second
    start = norm.isf(alpha / 2) * math.sqrt(differing)
    start += norm.ppf(power) * math.sqrt(differing - difference**2)
    guess = math.ceil((start / difference) ** 2)

    def enough(cases: int) -> bool:
        return mcnemar_power(first, second, cases, alpha=alpha) >= power

    # Power rises in small waves: whoever stands above them all has enough.
    cases = fewest(enough, start=guess)
    while not all(enough(cases + more) for more in range(1, 4)):
        cases += 1
    return cases


def binormal_variance(auc: float, ratio: float) -> float:
    """Variance of an area times the number of malignant cases.

    Args:
        auc: In [0.5, 1).
        ratio: Benign cases a malignant one.

    Reference:
        Obuchowski, 1994, Computing sample size for receiver operating characteristic
        studies, Investigative Radiology 29:238; Zhou, Obuchowski and McClish,
        Statistical Methods in Diagnostic Medicine, chapter 6.
    """
    a = 1.414 * float(norm.ppf(auc))
    return 0.0099 * math.exp(-(a**2) / 2) * ((5 * a**2 + 8) + (a**2 + 8) / ratio)


def cases_for_auc_difference(
    first: float,
    second: float,
    correlation: float,
    prevalence: float,
    *,
    alpha: float,
    power: float,
) -> tuple[int, int]:
    """Malignant and benign cases to find two models on the same cases to differ.

    Args:
        first: Expected AUC of one, in [0.5, 1).
        second: Of the other, a different one.
        correlation: Of the two estimated areas, in [0, 1); DeLong's covariance of
            earlier data gives it. About 0.5 is often assumed; less needs more cases.
        prevalence: Share of malignant cases, in (0, 1).
        alpha: Level of the two-sided z test (DeLong).
        power: Wanted, in (alpha, 1).

    Raises:
        ValueError: If an argument is out of range or the areas are equal.

    Reference:
        Obuchowski and McClish, 1997, Sample size determination for diagnostic
        accuracy studies involving binormal ROC curve indices, Statistics in
        Medicine 16:1529.
    """
    _check_power(alpha, power)
    ratio = _ratio(first, second, correlation, prevalence)
    if first == second:
        raise ValueError(f"`first` and `second` must differ. Received: {first} twice")
    # Without a difference both have the variance of the first.
    root = norm.isf(alpha / 2) * math.sqrt(
        _variance_of_difference(first, first, correlation, ratio)
    )
    root += norm.ppf(power) * math.sqrt(
        _variance_of_difference(first, second, correlation, ratio)
    )
    malignant = math.ceil((root / (first - second)) ** 2)
    return malignant, benign_for(malignant, prevalence)


def cases_for_auc_noninferiority(
    new: float,
    standard: float,
    margin: float,
    correlation: float,
    prevalence: float,
    *,
    alpha: float,
    power: float,
) -> tuple[int, int]:
    """Malignant and benign cases to show that an AUC is not lower by the margin.

    Args:
        new: Expected AUC of the new model.
        standard: Of what it is compared with, on the same cases.
        margin: Above 0; `new - standard > -margin` is to be shown.
        correlation: As in `cases_for_auc_difference`.
        prevalence: Share of malignant cases.
        alpha: One-sided level; 0.025 goes with a two-sided interval of 95%.
        power: Wanted, in (alpha, 1).

    Raises:
        ValueError: If an argument is out of range, or the new one is expected to be
            lower by the margin or more.

    Reference:
        Obuchowski, 1997, Testing for equivalence of diagnostic tests, AJR 168:13.
    """
    _check_power(alpha, power)
    room = _room(new, standard, margin)
    ratio = _ratio(new, standard, correlation, prevalence)
    variance = _variance_of_difference(new, standard, correlation, ratio)
    z = float(norm.isf(alpha) + norm.ppf(power))
    malignant = math.ceil(z**2 * variance / room**2)
    return malignant, benign_for(malignant, prevalence)


def cases_for_noninferiority(
    new_only: float, standard_only: float, margin: float, *, alpha: float, power: float
) -> int:
    """Paired cases to show that a sensitivity or specificity is not lower by a margin.

    Args:
        new_only: Share of cases that only the new model calls right.
        standard_only: Share that only the standard calls right.
        margin: Above 0.
        alpha: One-sided level.
        power: Wanted, in (alpha, 1).

    Raises:
        ValueError: As `cases_for_auc_noninferiority`.

    Reference:
        Liu et al., 2002, Tests for equivalence or non-inferiority for paired binary
        data, Statistics in Medicine 21:231, Wald-type test.
    """
    _check_power(alpha, power)
    _check_discordant(new_only, standard_only)
    room = _room(new_only, standard_only, margin)
    difference = new_only - standard_only
    variance = new_only + standard_only - difference**2
    z = float(norm.isf(alpha) + norm.ppf(power))
    return math.ceil(z**2 * variance / room**2)


def _variance_of_difference(
    a: float, b: float, correlation: float, ratio: float
) -> float:
    first, second = binormal_variance(a, ratio), binormal_variance(b, ratio)
    return first + second - 2 * correlation * math.sqrt(first * second)


def _ratio(a: float, b: float, correlation: float, prevalence: float) -> float:
    for auc in (a, b):
        check_inside("auc", auc, 0, 1)
        check_inside("auc", auc, 0.5, 1, closed=True)
    check_inside("prevalence", prevalence, 0, 1)
    if not 0 <= correlation < 1:
        raise ValueError(f"`correlation` must be in [0, 1). Received: {correlation}")
    return (1 - prevalence) / prevalence


def _room(new: float, standard: float, margin: float) -> float:
    check_inside("margin", margin, 0, 1)
    room = new - standard + margin
    if room <= 1e-12:
        raise ValueError(
            "`margin` must be larger than what the new one is expected to lose. "
            f"Received: margin={margin}, a loss of {standard - new:.3g}"
        )
    return room


def _check_power(alpha: float, power: float) -> None:
    check_inside("alpha", alpha, 0, 1)
    if not alpha < power < 1:
        raise ValueError(f"`power` must be in (alpha, 1). Received: {power}")


def _check_discordant(a: float, b: float) -> None:
    if not (min(a, b) >= 0 and 0 < a + b <= 1):
        raise ValueError(
            "Shares that one alone calls right must be at least 0, their sum in "
            f"(0, 1]. Received: {a} and {b}"
        )
