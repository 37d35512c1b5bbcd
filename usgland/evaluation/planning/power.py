"""How many cases a study needs to find a difference, or to exclude a loss.

Both models (or model and reader) judge the same cases; cases are independent.
"""

import math

from scipy.stats import binom, norm

from usgland.evaluation.planning import sample_size
from usgland.evaluation.planning.sample_size import SampleSize, check_inside


def mcnemar_power(only_a: float, only_b: float, cases: int, *, alpha: float) -> float:
    """Power of McNemar's exact two-sided test, over all that can happen.

    `only_a` and `only_b` are the shares of the paired cases that only the first and
    only the second calls right.

    Reference:
        Duffy, 1984, Asymptotic and exact power for the McNemar test, Biometrics 40.
    """
    differing = only_a + only_b
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
            share = only_a / differing
            rejected = binom.cdf(edge, pairs, share) + binom.sf(
                pairs - edge - 1, pairs, share
            )
            power += float(binom.pmf(pairs, cases, differing) * rejected)
    return power


def sample_size_mcnemar(
    only_a: float, only_b: float, *, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Fewest paired cases from which on McNemar's exact test has the power.

    Args:
        only_a: Share of cases that only the first calls right.
        only_b: Share that only the second calls right; another one.
        alpha: Level of the two-sided test.
        power: Wanted, in (alpha, 1).

    Returns:
        Cases of one label, to compare sensitivities or specificities, or of both, to
        compare accuracies.

    Raises:
        ValueError: If an argument is out of range or the shares are equal.
        UserError: If more than ten million cases are needed.

    Reference:
        Power: see `mcnemar_power`. Where the search begins: Connor, 1987, Sample size
        for testing differences in proportions for the paired-sample design,
        Biometrics 43:207.

    Example:
        Of a sensitivity of 0.9 and one of 0.8 that err independently, 0.9 * 0.2 of
        the malignant cases are right with the first alone, 0.8 * 0.1 with the second.

        >>> import usgland.evaluation as ev
        >>> ev.sample_size_mcnemar(0.18, 0.08)
        215
    """
    _check_power(alpha, power)
    _check_discordant(only_a, only_b)
    if only_a == only_b:
        raise ValueError(f"`only_a` and `only_b` must differ. Received: {only_a} twice")
    differing, difference = only_a + only_b, only_a - only_b
    start = norm.isf(alpha / 2) * math.sqrt(differing)
    start += norm.ppf(power) * math.sqrt(differing - difference**2)
    guess = math.ceil((start / difference) ** 2)

    def enough(cases: int) -> bool:
        return mcnemar_power(only_a, only_b, cases, alpha=alpha) >= power

    # Power rises in small waves: whoever stands above them all has enough.
    cases = sample_size.fewest(enough, start=guess)
    while not all(enough(cases + more) for more in range(1, 4)):
        cases += 1
    return cases


def binormal_variance(auc: float, ratio: float) -> float:
    """Variance of an area, in [0.5, 1), times the number of malignant cases.

    `ratio` is the benign cases a malignant one.

    Reference:
        Obuchowski, 1994, Computing sample size for receiver operating characteristic
        studies, Investigative Radiology 29:238; Zhou, Obuchowski and McClish,
        Statistical Methods in Diagnostic Medicine, chapter 6.
    """
    a = 1.414 * float(norm.ppf(auc))
    return 0.0099 * math.exp(-(a**2) / 2) * ((5 * a**2 + 8) + (a**2 + 8) / ratio)


def sample_size_auc_difference(
    auc_a: float,
    auc_b: float,
    *,
    correlation: float = 0.5,
    prevalence: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
) -> SampleSize:
    """Malignant and benign cases to find two models on the same cases to differ.

    Args:
        auc_a: Expected AUC of one, in [0.5, 1).
        auc_b: Of the other, a different one.
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

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.sample_size_auc_difference(0.9, 0.8, correlation=0.4)
        SampleSize(malignant=72, benign=72, patients=144)
    """
    _check_power(alpha, power)
    ratio = _ratio(auc_a, auc_b, correlation, prevalence)
    if auc_a == auc_b:
        raise ValueError(f"`auc_a` and `auc_b` must differ. Received: {auc_a} twice")
    # Without a difference both have the variance of the first.
    alike = _variance_of_difference(auc_a, auc_a, correlation, ratio)
    apart = _variance_of_difference(auc_a, auc_b, correlation, ratio)
    root = norm.isf(alpha / 2) * math.sqrt(alike) + norm.ppf(power) * math.sqrt(apart)
    malignant = math.ceil((root / (auc_a - auc_b)) ** 2)
    return sample_size.sample_size_of(malignant, prevalence)


def sample_size_auc_noninferiority(
    auc_new: float,
    auc_standard: float,
    margin: float,
    *,
    correlation: float = 0.5,
    prevalence: float = 0.5,
    alpha: float = 0.025,
    power: float = 0.8,
) -> SampleSize:
    """Malignant and benign cases to show that an AUC is not lower by the margin.

    Args:
        auc_new: Expected AUC of the new model.
        auc_standard: Of what it is compared with, on the same cases.
        margin: In (0, 1); `new - standard > -margin` is to be shown.
        correlation: As in `sample_size_auc_difference`.
        prevalence: Share of malignant cases, in (0, 1).
        alpha: One-sided level; 0.025 goes with a two-sided interval of 95%.
        power: Wanted, in (alpha, 1).

    Raises:
        ValueError: If an argument is out of range, or the new one is expected to be
            lower by the margin or more.

    Reference:
        Obuchowski, 1997, Testing for equivalence of diagnostic tests, AJR 168:13.

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.sample_size_auc_noninferiority(0.9, 0.9, 0.05, prevalence=0.25)
        SampleSize(malignant=170, benign=510, patients=680)
    """
    _check_power(alpha, power)
    room = _room(auc_new, auc_standard, margin)
    ratio = _ratio(auc_new, auc_standard, correlation, prevalence)
    variance = _variance_of_difference(auc_new, auc_standard, correlation, ratio)
    z = float(norm.isf(alpha) + norm.ppf(power))
    malignant = math.ceil(z**2 * variance / room**2)
    return sample_size.sample_size_of(malignant, prevalence)


def sample_size_noninferiority(
    only_new: float,
    only_standard: float,
    margin: float,
    *,
    alpha: float = 0.025,
    power: float = 0.8,
) -> int:
    """Paired cases to show that a sensitivity or specificity is not lower by a margin.

    Args:
        only_new: Share of cases that only the new model calls right.
        only_standard: Share that only the standard calls right.
        margin: In (0, 1).
        alpha: One-sided level.
        power: Wanted, in (alpha, 1).

    Returns:
        Cases of the label that counts.

    Raises:
        ValueError: As `sample_size_auc_noninferiority`.

    Reference:
        Liu et al., 2002, Tests for equivalence or non-inferiority for paired binary
        data, Statistics in Medicine 21:231, Wald-type test.

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.sample_size_noninferiority(0.1, 0.1, 0.1)
        157
    """
    _check_power(alpha, power)
    _check_discordant(only_new, only_standard)
    room = _room(only_new, only_standard, margin)
    difference = only_new - only_standard
    variance = only_new + only_standard - difference**2
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
