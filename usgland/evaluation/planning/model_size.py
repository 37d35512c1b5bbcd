"""How many patients a model needs, to be made or validated; and a reader study."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import f as fisher
from scipy.stats import ncf, norm

from usgland.errors import UserError
from usgland.evaluation.planning.sample_size import check_inside, fewest
from usgland.evaluation.statistics.mrmc import Components
from usgland.evaluation.statistics.readable import readable

LOSS = 0.05  # of explained variance, and error of the prevalence: Riley's criteria
NODES = 201  # of Gauss and Hermite's integration over the logits


class ModelSize(NamedTuple):
    """How many patients a model needs.

    Attributes:
        patients: The most that a criterion asks for.
        malignant: As many of them as are expected to be malignant.
        criteria: What each asks for, by name.
    """

    patients: int
    malignant: int
    criteria: dict[str, int]

    def __repr__(self) -> str:
        return readable(self)


def sample_size_development(
    parameters: int,
    *,
    prevalence: float,
    auc: float | None = None,
    r_squared: float | None = None,
    shrinkage: float = 0.9,
) -> ModelSize:
    """Fewest patients to develop a regression model of a form with.

    Not for the network itself, whose weights are no such parameters.

    Args:
        parameters: Candidate parameters: one a number, words less one a choice.
        prevalence: Share of malignant patients, in (0, 1).
        auc: Expected of the model, in (0.5, 1), from which its explained variance
            follows; or
        r_squared: Cox and Snell's, in (0, 1).
        shrinkage: Wanted at least, in (0, 1).

    Returns:
        criteria: shrinkage, optimism (of explained variance, at most .05) and
        prevalence (within .05).

    Raises:
        ValueError: If an argument is out of range, or not one of `auc` and
            `r_squared` is given.
        UserError: If that much variance cannot be explained at the prevalence.

    Reference:
        [Riley et al., 2019](https://doi.org/10.1002/sim.7992), criteria (i) to (iii);
        from the AUC [Riley et al., 2021](https://doi.org/10.1002/sim.8806), here by
        integration over logits that are normal in each label.

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.sample_size_development(24, prevalence=0.174, r_squared=0.288)
        ModelSize(
            patients=662,
            malignant=116,
            criteria={'shrinkage': 623, 'optimism': 662, 'prevalence': 221},
        )
    """
    check_inside("prevalence", prevalence, 0, 1)
    check_inside("shrinkage", shrinkage, 0, 1)
    if parameters < 1:
        raise ValueError(f"`parameters` must be 1 or more. Received: {parameters}")
    if (auc is None) == (r_squared is None):
        raise ValueError(
            f"Expected either `auc` or `r_squared`. Received: {auc} and {r_squared}"
        )
    if auc is not None:
        check_inside("auc", auc, 0.5, 1)
        r_squared = explained_variance(auc, prevalence)
    explained = float(r_squared or 0.0)
    check_inside("r_squared", explained, 0, 1)
    entropy = prevalence * math.log(prevalence)
    entropy += (1 - prevalence) * math.log(1 - prevalence)
    most = 1 - math.exp(2 * entropy)
    if not explained < min(most, shrinkage):
        raise UserError(
            f"r_squared: expected less than {min(most, shrinkage):.3f}, the most at a "
            f"prevalence of {prevalence:g} and this shrinkage. Received: {explained:g}"
        )
    small_loss = explained / (explained + LOSS * most)
    criteria = {
        "shrinkage": _for_shrinkage(parameters, shrinkage, explained),
        "optimism": _for_shrinkage(parameters, small_loss, explained),
        "prevalence": math.ceil((1.96 / LOSS) ** 2 * prevalence * (1 - prevalence)),
    }
    return _largest(criteria, prevalence)


def explained_variance(auc: float, prevalence: float) -> float:
    """Cox and Snell's share of explained variance of a model with this AUC.

    Its logits are normal in each label, with one variance.
    """
    apart = math.sqrt(2) * norm.ppf(auc)
    nodes, weights = _normal()
    gain = 0.0
    for share, centre in ((prevalence, apart / 2), (1 - prevalence, -apart / 2)):
        logits = apart * (nodes + centre) + math.log(prevalence / (1 - prevalence))
        sign = 1 if centre > 0 else -1
        own = prevalence if centre > 0 else 1 - prevalence
        gain += share * float(weights @ (-np.logaddexp(0, -sign * logits)))
        gain -= share * math.log(own)
    return 1 - math.exp(-2 * gain)


def sample_size_validation(
    *,
    prevalence: float,
    auc: float,
    logits: tuple[float, float] | None = None,
    auc_width: float = 0.1,
    slope_width: float = 0.2,
    ratio_width: float = 0.2,
    level: float = 0.95,
) -> ModelSize:
    """Fewest patients to validate a model with elsewhere.

    Args:
        prevalence: Share of malignant patients, in (0, 1).
        auc: Expected, in (0.5, 1).
        logits: Mean and SD of the model's logits among these patients, taken for
            normal; None: as of a calibrated model with that AUC.
        auc_width: Wanted of the interval of the AUC, from bound to bound.
        slope_width: Of the calibration slope, expected to be 1.
        ratio_width: Of observed over expected cases, expected to be 1.
        level: Confidence level in (0, 1).

    Returns:
        criteria: auc, slope and observed_over_expected.

    Raises:
        ValueError: If an argument is out of range.
        UserError: If more than ten million patients are needed.

    Reference:
        [Riley et al., 2021](https://doi.org/10.1002/sim.9025), the integrals over the
        logits by quadrature where they simulate.

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.sample_size_validation(prevalence=0.22, auc=0.82, logits=(-1.75, 1.47))
        ModelSize(
            patients=2406,
            malignant=530,
            criteria={'auc': 400, 'slope': 2406, 'observed_over_expected': 1367},
        )
    """
    check_inside("prevalence", prevalence, 0, 1)
    check_inside("auc", auc, 0.5, 1)
    check_inside("level", level, 0, 1)
    widths = {"auc_width": auc_width, "slope_width": slope_width}
    for name, width in (widths | {"ratio_width": ratio_width}).items():
        check_inside(name, width, 0, 2)
    z = float(norm.ppf((1 + level) / 2))
    unit = _slope_variance(_logits(prevalence, auc, logits))
    # Bounds of a ratio of 1 are exp(z e) and exp(-z e): their distance is 2 sinh.
    ratio_error = math.asinh(ratio_width / 2) / z
    criteria = {
        "auc": fewest(
            lambda n: 2 * z * _auc_error(auc, n, prevalence) <= auc_width, start=10
        ),
        "slope": math.ceil(unit / (slope_width / (2 * z)) ** 2),
        "observed_over_expected": math.ceil(
            (1 - prevalence) / (prevalence * ratio_error**2)
        ),
    }
    return _largest(criteria, prevalence)


def sample_size_mrmc(
    difference: float,
    readers: int,
    components: Components,
    pilot_cases: int,
    *,
    pilot_readers: int,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Fewest cases with which so many readers find two modalities to differ.

    For readers and cases like those of a pilot study, with its share of malignant
    cases; every reader reads every case in both modalities.

    Args:
        difference: Of the measure, such as the AUC, that is to be found.
        readers: Who will read, two or more.
        components: Of the pilot study, as `mrmc` gives them.
        pilot_cases: How many cases it had.
        pilot_readers: How many readers.
        alpha: Two-sided level of the test, in (0, 1).
        power: Wanted, in (alpha, 1).

    Raises:
        ValueError: If an argument is out of range.
        UserError: If no number of cases is enough, as readers differ too much.

    Reference:
        [Hillis et al., 2011](https://doi.org/10.1016/j.acra.2010.09.007).

    Example:
        >>> import usgland.evaluation as ev
        >>> without = [[3, 4, 2, 5, 2, 3, 1, 4], [2, 5, 3, 4, 1, 2, 3, 3],
        ...            [4, 3, 2, 4, 3, 1, 2, 2]]
        >>> with_form = [[4, 4, 3, 5, 2, 2, 1, 3], [3, 5, 4, 4, 1, 2, 2, 2],
        ...              [4, 4, 3, 4, 3, 1, 2, 1]]
        >>> pilot = ev.mrmc([1, 1, 1, 1, 0, 0, 0, 0], [with_form, without])
        >>> ev.sample_size_mrmc(0.1, 5, pilot.components, 8, pilot_readers=3)
        57
    """
    check_inside("difference", abs(difference), 0, 1)
    check_inside("alpha", alpha, 0, 1)
    check_inside("power", power, alpha, 1)
    if readers < 2 or pilot_readers < 2 or pilot_cases < 2:
        raise ValueError(
            "`readers`, `pilot_readers` and `pilot_cases` must be 2 or more. Received: "
            f"{readers}, {pilot_readers} and {pilot_cases}"
        )

    def enough(cases: int) -> bool:
        return power <= mrmc_power(
            difference, readers, cases, components, pilot_cases, alpha=alpha
        )

    if not enough(10_000_000):
        raise UserError(
            f"Expected readers whose differences let {readers} of them find "
            f"{difference:g}. Received: none do, with any number of cases. Ask more "
            "readers, or for a larger difference"
        )
    return fewest(enough, start=4)


def mrmc_power(
    difference: float,
    readers: int,
    cases: int,
    components: Components,
    pilot_cases: int,
    *,
    alpha: float = 0.05,
) -> float:
    """Power of Obuchowski and Rockette's test; arguments as `sample_size_mrmc`."""
    between = max(
        0.0, components.covariance_same_modality - components.covariance_neither
    )
    own = components.variance - components.covariance_same_reader - between
    interaction = max(0.0, components.ms_interaction - own)
    scale = pilot_cases / cases
    square = interaction + scale * own
    whole = square + readers * scale * between
    freedom = (readers - 1) * whole**2 / square**2
    reach = readers * difference**2 / 2 / whole
    return float(ncf.sf(fisher.ppf(1 - alpha, 1, freedom), 1, freedom, reach))


def _for_shrinkage(parameters: int, shrinkage: float, explained: float) -> int:
    return math.ceil(
        parameters / ((shrinkage - 1) * math.log(1 - explained / shrinkage))
    )


def _largest(criteria: dict[str, int], prevalence: float) -> ModelSize:
    patients = max(criteria.values())
    return ModelSize(patients, math.ceil(round(patients * prevalence, 9)), criteria)


def _auc_error(auc: float, n: int, prevalence: float) -> float:
    """Newcombe's standard error, with equal halves in its parts as Riley takes it."""
    parts = (n / 2 - 1) * ((1 - auc) / (2 - auc) + auc / (1 + auc))
    variance = auc * (1 - auc) * (1 + parts)
    return math.sqrt(variance / (n**2 * prevalence * (1 - prevalence)))


def _logits(
    prevalence: float, auc: float, logits: tuple[float, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of the distribution of the logits."""
    nodes, weights = _normal()
    if logits is not None:
        mean, spread = logits
        if not spread > 0:
            raise ValueError(f"`logits` must have an SD above 0. Received: {logits}")
        return mean + spread * nodes, weights
    apart = math.sqrt(2) * norm.ppf(auc)
    shift = math.log(prevalence / (1 - prevalence))
    both = [apart * (nodes + side * apart / 2) + shift for side in (1, -1)]
    shares = [prevalence * weights, (1 - prevalence) * weights]
    return np.concatenate(both), np.concatenate(shares)


def _slope_variance(logits: tuple[NDArray, NDArray]) -> float:
    """Variance of the slope of one patient: of the inverse information."""
    values, weights = logits
    chance = expit(values)
    own = weights * chance * (1 - chance)
    zero, one, two = own.sum(), own @ values, own @ values**2
    return float(zero / (zero * two - one**2))


def _normal() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()
