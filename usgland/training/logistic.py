"""Logistic regression on the clinical form: the plain reference."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from usgland.models.clinical import ClinicalEncoding, form_values, learn_encoding
from usgland.schema import ClinicalSettings
from usgland.training.predict import predictions_table

ITERATIONS = 10_000  # at most; it converges in dozens


class FormRegression(NamedTuple):
    """A logistic regression on the features of a form.

    Attributes:
        encoding: How a form becomes features, see `learn_encoding`.
        coefficients: `(features,)`.
        intercept: What is added.
    """

    encoding: list[dict[str, Any]]
    coefficients: np.ndarray
    intercept: float

    def logits(self, rows: pd.DataFrame) -> np.ndarray:
        """Of P(malignant), float64 `(rows,)`."""
        features, _ = _encode(rows, self.encoding)
        return features @ self.coefficients + self.intercept

    def has_form(self, rows: pd.DataFrame) -> np.ndarray:
        """Whether a row's form has any value, bool `(rows,)`."""
        return _encode(rows, self.encoding)[1] > 0


def fit_form_regression(
    rows: pd.DataFrame, settings: ClinicalSettings
) -> FormRegression:
    """Fits scikit-learn's logistic regression, with its default penalty, to a form.

    It sees the features that the network sees (`ClinicalEncoding`), one row a patient,
    and has nothing to choose: no epoch, no rate.
    """
    patients = rows.drop_duplicates("patient_id")
    encoding = learn_encoding(patients, settings)
    regression = LogisticRegression(max_iter=ITERATIONS)
    regression.fit(_encode(patients, encoding)[0], patients["label"])
    return FormRegression(
        encoding, regression.coef_[0], float(regression.intercept_[0])
    )


def logistic_predictions(
    rows: pd.DataFrame, settings: ClinicalSettings
) -> pd.DataFrame:
    """What a logistic regression on the form of the role train says of the others.

    Returns:
        Predictions of the rows of the roles val and test, as `predict_rows` gives
        them.
    """
    regression = fit_form_regression(rows[rows["role"] == "train"], settings)
    others = rows[rows["role"].isin(["val", "test"])]
    logits = regression.logits(others)
    return predictions_table(others, logits, 1 / (1 + np.exp(-logits)))


def _encode(
    rows: pd.DataFrame, encoding: list[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Features `(rows, features)`, and 1 where the form has a value, `(rows,)`."""
    values = form_values(rows, encoding)
    layer = ClinicalEncoding(encoding)
    features, has_value = layer(list(map(tf.constant, values.values())))
    return np.asarray(features, "float64"), np.asarray(has_value)[:, 0]
