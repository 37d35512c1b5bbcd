"""What several sites have in common, and what a new one may show: random effects."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import chi2
from scipy.stats import t as student

from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import check_between_0_and_1

SCALES = {
    "identity": (lambda x: x, lambda x: x, lambda x: np.ones_like(x)),
    "log": (np.log, np.exp, lambda x: 1 / x),
    "logit": (logit, expit, lambda x: 1 / (x * (1 - x))),
}  # scale -> there, back, and the derivative that carries a standard error there
INSIDE = {"identity": (-np.inf, np.inf), "log": (0.0, np.inf), "logit": (0.0, 1.0)}
METHOD = "REML, modified Hartung-Knapp"


class RandomEffects(NamedTuple):
    """A measure over several sites that differ.

    Attributes:
        value: The mean over sites such as these.
        low: Lower bound of the mean.
        high: Upper bound of the mean.
        prediction_low: Lower bound of the measure itself at a new site.
        prediction_high: Its upper bound.
        tau2: Variance between sites, on the scale of the analysis.
        i2: Share of the variance that lies between sites, in [0, 1).
        heterogeneity_p: Of Cochran's Q: whether sites differ by more than chance.
        sites: How many.
        method: How it was made.
        reason: Why something is NaN; otherwise empty.
    """

    value: float
    low: float
    high: float
    prediction_low: float
    prediction_high: float
    tau2: float
    i2: float
    heterogeneity_p: float
    sites: int
    method: str
    reason: str

    def __repr__(self) -> str:
        return readable(self)


def random_effects(
    estimates: ArrayLike,
    standard_errors: ArrayLike,
    *,
    scale: str = "identity",
    level: float = 0.95,
) -> RandomEffects:
    """The mean of a measure over several sites, and what a new site may show.

    Args:
        estimates: `(sites,)`: of each site, such as AUCs or calibration slopes.
        standard_errors: `(sites,)`: of the estimates as they are.
        scale: On which sites are taken for normal: `"logit"` for AUCs, sensitivities
            and other shares, `"log"` for ratios, such as observed over expected
            cases, `"identity"` for slopes and intercepts.
        level: Confidence level in (0, 1), of both intervals.

    Returns:
        All on the scale of the estimates but `tau2`. One site has no interval, and two
        have none for a new site, which needs three. Sites that agree by chance do not
        make the interval narrower than their standard errors let it be.

    Raises:
        ValueError: If the arrays do not fit, an estimate lies outside its scale, or a
            standard error is not above 0.

    Reference:
        Restricted maximum likelihood; interval of the mean: [Hartung and Knapp,
        2001](https://doi.org/10.1002/sim.791), their error at least that of the weights
        as [Röver et al., 2015](https://doi.org/10.1186/s12874-015-0091-1) advise; of a
        new site, with two degrees of freedom less than sites, metafor's
        `predtype="Riley"`: [Higgins et al.,
        2009](https://doi.org/10.1111/j.1467-985X.2008.00552.x); scales: [Debray et
        al., 2017](https://doi.org/10.1136/bmj.i6460).

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.random_effects([0.91, 0.84, 0.88, 0.79], [0.03] * 4, scale="logit")
        RandomEffects(
            value=0.8518,
            low=0.748,
            high=0.9175,
            prediction_low=0.5248,
            prediction_high=0.9677,
            tau2=0.1039,
            i2=0.627,
            heterogeneity_p=0.04678,
            sites=4,
            method='REML, modified Hartung-Knapp, logit',
        )
    """
    check_between_0_and_1(level=level)
    if scale not in SCALES:
        raise ValueError(f"`scale` must be one of {list(SCALES)}. Received: {scale!r}")
    values, errors = (
        np.asarray(array, "float64") for array in (estimates, standard_errors)
    )
    lowest, highest = INSIDE[scale]
    if values.ndim != 1 or values.shape != errors.shape or not len(values):
        raise ValueError(
            "`estimates` and `standard_errors` must be of one length, not 0. "
            f"Received: shapes {values.shape} and {errors.shape}"
        )
    if not ((values > lowest) & (values < highest)).all():
        raise ValueError(
            f"`estimates` must be in ({lowest:g}, {highest:g}) on the scale {scale!r}. "
            f"Received: {values.min():g} to {values.max():g}"
        )
    if not ((errors > 0) & np.isfinite(errors)).all():
        raise ValueError(f"`standard_errors` must be above 0. Received: {errors}")
    forth, back, slope = SCALES[scale]
    y, variances = forth(values), (errors * slope(values)) ** 2
    sites, method = len(y), METHOD + ("" if scale == "identity" else f", {scale}")
    if sites == 1:
        unknown = (np.nan,) * 7
        return RandomEffects(
            float(values[0]), *unknown, 1, "", "one site has none to compare with"
        )
    q = _q(y, variances, 0.0)
    tau2 = _between(y, variances)
    weights = 1 / (variances + tau2)
    mean = float(weights @ y / weights.sum())
    spread = weights @ (y - mean) ** 2 / (sites - 1)
    error = (max(spread, 1.0) / weights.sum()) ** 0.5
    half = student.ppf((1 + level) / 2, sites - 1) * error
    new, reason = np.nan, "a new site's interval needs three sites"
    if sites > 2:
        new = student.ppf((1 + level) / 2, sites - 2) * (tau2 + error**2) ** 0.5
        reason = ""
    plain = 1 / variances
    typical = (sites - 1) * plain.sum() / (plain.sum() ** 2 - plain @ plain)
    ends = back(np.array([mean, mean - half, mean + half, mean - new, mean + new]))
    return RandomEffects(
        value=float(ends[0]),
        low=float(ends[1]),
        high=float(ends[2]),
        prediction_low=float(ends[3]),
        prediction_high=float(ends[4]),
        tau2=tau2,
        i2=float(tau2 / (tau2 + typical)),
        heterogeneity_p=float(chi2.sf(q, sites - 1)),
        sites=sites,
        method=method,
        reason=reason,
    )


def _q(y: NDArray, variances: NDArray, tau2: float) -> float:
    """Cochran's Q, with the variance between sites in the weights."""
    weights = 1 / (variances + tau2)
    mean = weights @ y / weights.sum()
    return float(weights @ (y - mean) ** 2)


def _between(y: NDArray, variances: NDArray) -> float:
    """The variance between sites by restricted maximum likelihood, 0 or above."""

    def slope(tau2: float) -> float:
        """Twice the derivative of the restricted log-likelihood."""
        weights = 1 / (variances + tau2)
        mean = weights @ y / weights.sum()
        gain = weights**2 @ (y - mean) ** 2
        return float(gain - weights.sum() + weights @ weights / weights.sum())

    high = float(np.var(y, ddof=1) + variances.max())
    while slope(high) > 0:
        high *= 2
    # The likelihood may have two maxima: all are looked for, and the highest is taken.
    grid = np.r_[0.0, np.geomspace(high * 1e-8, high, 200)]
    slopes = np.array([slope(tau2) for tau2 in grid])
    falls = np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))
    candidates = [0.0] if slopes[0] <= 0 else []
    candidates += [
        float(brentq(slope, grid[i], grid[i + 1], xtol=1e-14)) for i in falls
    ]
    return max(candidates, key=lambda tau2: _restricted(y, variances, tau2))


def _restricted(y: NDArray, variances: NDArray, tau2: float) -> float:
    """The restricted log-likelihood, up to a constant."""
    total = variances + tau2
    weights = 1 / total
    return -0.5 * float(
        np.log(total).sum() + np.log(weights.sum()) + _q(y, variances, tau2)
    )
