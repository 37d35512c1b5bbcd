"""Logistic regression on the clinical form: the plain reference."""

from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from usgland.models.clinical import ClinicalEncoding, form_values, learn_encoding
from usgland.schema import ClinicalSettings
from usgland.training.predict import predictions_table

ITERATIONS = 10_000  # at most; it converges in dozens


def logistic_predictions(
    rows: pd.DataFrame, settings: ClinicalSettings
) -> pd.DataFrame:
    """Fits scikit-learn's logistic regression, with its default penalty, to a form.

    It sees the features that the network sees (`ClinicalEncoding`), one row a patient
    of the role train, and has nothing to choose: no epoch, no rate.

    Returns:
        Predictions of the rows of the roles val and test, as `predict_rows` gives
        them.
    """
    train = rows[rows["role"] == "train"].drop_duplicates("patient_id")
    encoding = learn_encoding(train, settings)
    regression = LogisticRegression(max_iter=ITERATIONS)
    regression.fit(_features(train, encoding), train["label"])
    others = rows[rows["role"].isin(["val", "test"])]
    logits = regression.decision_function(_features(others, encoding))
    return predictions_table(others, logits, 1 / (1 + np.exp(-logits)))


def _features(rows: pd.DataFrame, encoding: list[dict[str, Any]]) -> np.ndarray:
    values = form_values(rows, encoding)
    features, _ = ClinicalEncoding(encoding)(list(map(tf.constant, values.values())))
    return np.asarray(features, "float64")
