"""Multi-reader multi-case analysis: Obuchowski and Rockette's, with Hillis' freedom.

A measure such as the area under the ROC curve is estimated for each reader in each
modality. The estimates vary with the readers and with the cases; that all readers
saw the same cases ties them together, which the covariances say. Modalities are
here readings without and with clinical data.

Three questions, three answers: would it hold for other readers and other cases
("readers and cases random"), for these readers and other cases ("readers fixed"), for
other readers and these cases ("cases fixed")?
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from scipy.stats import t as student

from usgland.evaluation.statistics.readable import readable

# In the order in which tables show them.
SCOPES = ("readers and cases random", "readers fixed", "cases fixed")
ROUNDING = 1e-15  # a variance below this is what rounding leaves of 0


class Estimate(NamedTuple):
    """A mean over readers, or a difference of two, in one scope.

    Attributes:
        scope: One of `SCOPES`.
        value: The mean or the difference.
        standard_error: Of it; NaN where undefined.
        degrees_of_freedom: Of t; infinite where the normal distribution is used.
        low: Lower bound; not cut to the range of the measure.
        high: Upper bound.
        statistic: t or z of the hypothesis that a difference is 0; its square is
            the F or chi-square of two modalities. NaN for a mean.
        p_value: Two-sided; NaN for a mean.
        reason: Why something is NaN; otherwise empty.
    """

    scope: str
    value: float
    standard_error: float
    degrees_of_freedom: float
    low: float
    high: float
    statistic: float
    p_value: float
    reason: str

    def __repr__(self) -> str:
        return readable(self)


class Components(NamedTuple):
    """Mean squares and (co)variances of an analysis of two modalities.

    Attributes:
        ms_modality: Mean square of modalities, MS(T).
        ms_reader: Of readers, MS(R).
        ms_interaction: Of modality by reader, MS(TR).
        variance: Mean variance of an estimate, from cases.
        covariance_same_reader: Cov1: one reader, two modalities.
        covariance_same_modality: Cov2: two readers, one modality.
        covariance_neither: Cov3: two readers, two modalities.
    """

    ms_modality: float
    ms_reader: float
    ms_interaction: float
    variance: float
    covariance_same_reader: float
    covariance_same_modality: float
    covariance_neither: float

    def __repr__(self) -> str:
        return readable(self)


def compare_modalities(
    estimates: ArrayLike, covariance: ArrayLike, *, level: float
) -> tuple[Components, list[Estimate]]:
    """Mean difference, first modality less second, in each scope.

    Where readers lack cases, as in split plots, the covariance is of those that two
    share; its mean, zeros included, is what the analysis takes from the mean squares.

    Args:
        estimates: `(2, readers)`: a measure of each reader in each modality.
        covariance: `(2 * readers, 2 * readers)`: of the estimates due to cases, the
            readers of the first modality first.
        level: Confidence level in (0, 1).

    Returns:
        What it was made of, and one difference a scope.

    Raises:
        ValueError: If the shapes do not fit.

    Reference:
        [Obuchowski and Rockette, 1995](https://doi.org/10.1080/03610919508813243);
        degrees of freedom: [Hillis, 2007](https://doi.org/10.1002/sim.2532); the
        three scopes: [Hillis et al., 2008](https://doi.org/10.1016/j.acra.2007.12.015).
    """
    estimates, covariance = _checked(estimates, covariance, modalities=2)
    parts = _components(estimates, covariance)
    value = float(estimates[0].mean() - estimates[1].mean())
    variance = parts.variance - parts.covariance_same_reader
    shared = parts.covariance_same_modality - parts.covariance_neither
    differences = _in_each_scope(
        value, estimates.shape, parts.ms_interaction, variance, shared, level
    )
    return parts, differences


def mean_of_readers(
    estimates: ArrayLike, covariance: ArrayLike, *, level: float
) -> list[Estimate]:
    """Mean of one modality in each scope, from the data of that modality alone.

    Args:
        estimates: `(readers,)`.
        covariance: `(readers, readers)`: of the estimates due to cases.
        level: Confidence level in (0, 1).

    Reference:
        [Hillis, 2007](https://doi.org/10.1002/sim.2532), single modality.
    """
    return [
        estimate._replace(statistic=np.nan, p_value=np.nan)
        for estimate in _single(estimates, covariance, level)
    ]


def compare_with_model(
    estimates: ArrayLike, model: float, covariance: ArrayLike, *, level: float
) -> list[Estimate]:
    """Mean of the readers less a model that reads alone, in each scope.

    The model is no reader drawn from a population: it would say the same again. So
    only its cases vary. The differences of each reader from the model are one
    modality, which is held against 0.

    Args:
        estimates: `(readers,)`.
        model: The model's measure on the same cases.
        covariance: `(readers + 1, readers + 1)`: the model last.
        level: Confidence level in (0, 1).

    Reference:
        Hillis' single-modality analysis
        ([2007](https://doi.org/10.1002/sim.2532)) of differences from the model, as
        "random-reader random-case, one treatment" in Chakraborty, Observer
        Performance Methods for Diagnostic Imaging, 2017.
    """
    estimates = np.asarray(estimates, "float64")
    covariance = np.asarray(covariance, "float64")
    _check_shapes(estimates[None, :], covariance, len(estimates) + 1)
    apart = np.c_[np.eye(len(estimates)), -np.ones(len(estimates))]
    return _single(estimates - model, apart @ covariance @ apart.T, level)


def _single(
    estimates: ArrayLike, covariance: ArrayLike, level: float
) -> list[Estimate]:
    estimates, covariance = _checked(np.atleast_2d(estimates), covariance, modalities=1)
    value, ms_reader = float(estimates.mean()), _mean_square(estimates[0])
    variance, shared = float(np.diag(covariance).mean()), _off_diagonal(covariance)
    return _in_each_scope(value, estimates.shape, ms_reader, variance, shared, level)


def _in_each_scope(
    value: float,
    shape: tuple[int, ...],
    mean_square: float,
    variance: float,
    shared: float,
    level: float,
) -> list[Estimate]:
    """Estimates in the order of `SCOPES`, of `shape` (modalities, readers).

    `variance` is that of one reader's value, or half that of a difference, due to
    cases; `shared` its covariance between readers, NaN for one reader. Below 0 it
    counts as 0 beside the mean square of readers, as in Hillis, 2007; with these
    readers it stays as it is: the sum is then the variance of their mean.
    """
    modalities, readers = shape
    share, freedom = modalities / readers, float(readers - 1)
    shared = shared if readers > 1 else 0.0
    both = mean_square + readers * max(shared, 0.0)
    hillis = np.inf if freedom else 0.0  # readers alike: only the cases vary
    if mean_square > ROUNDING:
        hillis = freedom * both**2 / mean_square**2
    cases = variance + (readers - 1) * shared
    parts = zip((both, cases, mean_square), (hillis, np.inf, freedom), strict=True)
    return [
        _estimate(scope, value, share * part, part_freedom, level)
        for scope, (part, part_freedom) in zip(SCOPES, parts, strict=True)
    ]


def _components(estimates: NDArray, covariance: NDArray) -> Components:
    readers = estimates.shape[1]
    first, second = covariance[:readers, :readers], covariance[readers:, readers:]
    across = covariance[:readers, readers:]
    return Components(
        readers * _mean_square(estimates.mean(axis=1)),
        2 * _mean_square(estimates.mean(axis=0)),
        _mean_square(estimates[0] - estimates[1]) / 2,
        float(np.diag(covariance).mean()),
        float(np.diag(across).mean()),
        (_off_diagonal(first) + _off_diagonal(second)) / 2,
        _off_diagonal(across),
    )


def _mean_square(values: NDArray) -> float:
    """About the mean; NaN of one value."""
    return float(values.var(ddof=1)) if len(values) > 1 else np.nan


def _off_diagonal(square: NDArray) -> float:
    """The mean beside the diagonal; NaN where nothing is."""
    size = len(square)
    pairs = size * (size - 1)
    return float((square.sum() - np.trace(square)) / pairs) if pairs else np.nan


def _estimate(
    scope: str, value: float, variance: float, freedom: float, level: float
) -> Estimate:
    reason = "" if variance > ROUNDING else "no variation to judge it by"
    if not freedom:
        reason = "one reader says nothing of other readers"
    if reason:
        nan = np.nan
        return Estimate(scope, value, nan, nan, nan, nan, nan, nan, reason)
    error = variance**0.5
    spread = norm if np.isinf(freedom) else student(freedom)
    half = float(spread.ppf((1 + level) / 2)) * error
    bounds = value - half, value + half
    p_value = float(2 * spread.sf(abs(value / error)))
    return Estimate(scope, value, error, freedom, *bounds, value / error, p_value, "")


def _checked(
    estimates: ArrayLike, covariance: ArrayLike, *, modalities: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    estimates = np.asarray(estimates, "float64")
    covariance = np.asarray(covariance, "float64")
    if estimates.ndim != 2 or len(estimates) != modalities or not estimates.size:
        raise ValueError(
            f"`estimates` must have {modalities} modalities and one reader or more. "
            f"Received: shape {estimates.shape}"
        )
    _check_shapes(estimates, covariance, estimates.size)
    return estimates, covariance


def _check_shapes(estimates: NDArray, covariance: NDArray, size: int) -> None:
    if covariance.shape != (size, size):
        raise ValueError(
            f"`covariance` must be ({size}, {size}) for estimates of shape "
            f"{estimates.shape}. Received: shape {covariance.shape}"
        )
