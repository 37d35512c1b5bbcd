"""AUC and calibration of each site, and over sites such as these."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from scipy.stats import norm

from usgland.evaluation.statistics.delong import delong_covariance
from usgland.evaluation.statistics.logistic_model import fit_logistic
from usgland.evaluation.statistics.random_effects import (
    SCALES,
    RandomEffects,
    random_effects,
)
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import (
    check_between_0_and_1,
    checked_cases,
    checked_patients,
)

# Measure -> the scale on which sites are taken for normal.
SITE_MEASURES = {
    "roc_auc": "logit",
    "slope": "identity",
    "intercept_in_the_large": "identity",
    "observed_over_expected": "log",
}
ONE_LABEL = "one label only"
# No AUC of 0 or 1 has a logit: as if half a pair more were ranked either way.
HALF = 0.5


class SeveralSites(NamedTuple):
    """A model at several sites.

    Attributes:
        sites: One row a site and measure: site, measure, n, malignant, value, low,
            high, standard_error, reason.
        pooled: One row a measure: value, low, high, prediction_low, prediction_high,
            tau2, i2, heterogeneity_p, sites, method, reason.
    """

    sites: pd.DataFrame
    pooled: pd.DataFrame

    def __repr__(self) -> str:
        ends = ["value", "low", "high"]
        return readable(
            SeveralSites(
                self.sites[["site", "measure", "n", "malignant", *ends]],
                self.pooled[[*ends, "prediction_low", "prediction_high", "sites"]],
            )
        )


def several_sites(
    labels: ArrayLike,
    probabilities: ArrayLike,
    sites: ArrayLike,
    *,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> SeveralSites:
    """AUC and calibration at each site, their mean, and what a new site may show.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        probabilities: `(cases,)`, P(malignant) in (0, 1).
        sites: `(cases,)`: where each case is from.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Returns:
        `sites`, in their order of appearance: AUC (DeLong, by its logit), calibration
        slope, calibration-in-the-large and the ratio of observed to expected malignant
        cases; and `pooled` over the sites that have the measure, as `random_effects`.
        A site of one label has no measure but that ratio, and one without malignant
        cases not even that. An AUC of 1 enters as if of half a pair less.

    Raises:
        ValueError: If the arrays do not fit, or a probability is 0 or 1.

    Reference:
        [Debray et al., 2017](https://doi.org/10.1136/bmj.i6460)

    Example:
        >>> import numpy as np
        >>> import usgland.evaluation as ev
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 2, 400)
        >>> sites = np.repeat(["A", "B", "C", "D"], 100)
        >>> logits = 2 * labels - 1 + rng.normal(size=400)
        >>> several = ev.several_sites(labels, 1 / (1 + np.exp(-logits)), sites)
        >>> ends = ["value", "low", "high", "prediction_low", "prediction_high"]
        >>> several.pooled.loc["roc_auc", ends].astype(float).round(3).tolist()
        [0.928, 0.86, 0.964, 0.756, 0.982]
    """
    check_between_0_and_1(level=level)
    labels, probabilities = checked_cases(labels, probabilities)
    places, ids = np.asarray(sites), checked_patients(patient_ids, len(labels))
    if places.shape != labels.shape:
        raise ValueError(
            f"`sites` must have one entry a case, {len(labels)}. "
            f"Received: shape {places.shape}"
        )
    if not ((probabilities > 0) & (probabilities < 1)).all():
        raise ValueError(
            "`probabilities` must be in (0, 1), as calibration needs their logits. "
            f"Received: {probabilities.min():g} to {probabilities.max():g}"
        )
    rows = []
    for site in pd.unique(places):
        own = places == site
        cases = labels[own], probabilities[own], ids[own]
        counts = {"n": int(own.sum()), "malignant": int(labels[own].sum())}
        for name, (value, error, reason) in _estimates(*cases).items():
            low, high = _bounds(value, error, SITE_MEASURES[name], level)
            ends = {"value": value, "low": low, "high": high, "standard_error": error}
            rows.append(
                {"site": site, "measure": name, **counts, **ends, "reason": reason}
            )
    table = pd.DataFrame(rows)
    pooled = {
        name: _pooled(table[table["measure"] == name], scale, level)
        for name, scale in SITE_MEASURES.items()
    }
    return SeveralSites(
        table,
        pd.DataFrame.from_dict(
            pooled, orient="index", columns=list(RandomEffects._fields)
        ),
    )


def _pooled(rows: pd.DataFrame, scale: str, level: float) -> RandomEffects:
    known = rows[rows["standard_error"] > 0]
    if known.empty:
        unknown = (np.nan,) * 8
        return RandomEffects(*unknown, 0, "", "no site has the measure")
    values, errors = known["value"].to_numpy(), known["standard_error"].to_numpy()
    return random_effects(values, errors, scale=scale, level=level)


def _estimates(
    labels: NDArray, probabilities: NDArray, ids: NDArray
) -> dict[str, tuple[float, float, str]]:
    """Measure -> value, standard error and why there is none, of one site."""
    logits, ones = logit(probabilities), np.ones(len(labels))
    both = 0 < labels.sum() < len(labels)
    none = np.nan, np.nan, ONE_LABEL
    if not both:
        return {
            "roc_auc": none,
            "slope": none,
            "intercept_in_the_large": none,
            "observed_over_expected": _ratio(labels, probabilities, ids),
        }
    line = fit_logistic(np.column_stack([ones, logits]), labels, patient_ids=ids)
    shift = fit_logistic(ones[:, None], labels, offset=logits, patient_ids=ids)
    return {
        "roc_auc": _area(labels, probabilities, ids),
        "slope": (
            float(line.coefficients[1]),
            float(line.covariance[1, 1]) ** 0.5,
            line.reason,
        ),
        "intercept_in_the_large": (
            float(shift.coefficients[0]),
            float(shift.covariance[0, 0]) ** 0.5,
            shift.reason,
        ),
        "observed_over_expected": _ratio(labels, probabilities, ids),
    }


def _area(
    labels: NDArray, probabilities: NDArray, ids: NDArray
) -> tuple[float, float, str]:
    (area,), ((variance,),) = delong_covariance(labels, probabilities, patient_ids=ids)
    malignant, benign = (len(np.unique(ids[labels == label])) for label in (1, 0))
    if 0 < area < 1:
        if variance > 0:
            return float(area), float(variance) ** 0.5, ""
        alone = min(malignant, benign) < 2
        reason = "a label has one patient only" if alone else "no variance of the AUC"
        return float(area), np.nan, reason
    # Hanley and McNeil's variance, of patients, is known from the area alone.
    pairs = malignant * benign
    area = (area * pairs + HALF) / (pairs + 2 * HALF)
    both, other = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (malignant - 1) * (both - area**2) + (benign - 1) * (other - area**2)
    variance = (area * (1 - area) + spread) / pairs
    return float(area), float(variance) ** 0.5, "half a pair added, Hanley-McNeil"


def _ratio(
    labels: NDArray, probabilities: NDArray, ids: NDArray
) -> tuple[float, float, str]:
    """Observed over expected malignant cases; the expected are taken as known."""
    observed, expected = float(labels.sum()), float(probabilities.sum())
    if not observed:
        return np.nan, np.nan, "no malignant case"
    _, patient = np.unique(ids, return_inverse=True)
    centred = np.bincount(patient, labels - labels.mean())
    variance = float(centred @ centred)
    if not variance > 0:  # all are malignant
        return observed / expected, np.nan, ONE_LABEL
    return observed / expected, variance**0.5 / expected, ""


def _bounds(
    value: float, error: float, scale: str, level: float
) -> tuple[float, float]:
    if not error > 0:
        return np.nan, np.nan
    forth, back, slope = SCALES[scale]
    middle = forth(np.array(value))
    half = norm.ppf((1 + level) / 2) * error * slope(np.array(value))
    return float(back(middle - half)), float(back(middle + half))
