import json
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    f1_score,
    jaccard_score,
    recall_score,
    roc_auc_score,
)

from usgland.models.metrics import (
    F1,
    Accuracy,
    CohenKappa,
    ConfusionMetric,
    Jaccard,
    Sensitivity,
    Specificity,
    training_metrics,
)

TFA = json.loads(
    (Path(__file__).parents[1] / "reference" / "tfa_0.23.json").read_text()
)


def specificity_score(y_true, y_pred, sample_weight=None):
    return recall_score(y_true, y_pred, pos_label=0, sample_weight=sample_weight)


ORACLES = {
    Sensitivity: recall_score,
    Specificity: specificity_score,
    Accuracy: accuracy_score,
    F1: f1_score,
    Jaccard: jaccard_score,
    CohenKappa: cohen_kappa_score,
}
every_metric = pytest.mark.parametrize(
    "metric_class", ORACLES, ids=lambda m: m.own_name
)


def score(metric, *update):
    metric.update_state(*update)
    return float(metric.result())


@every_metric
@pytest.mark.parametrize("weighted", [False, True])
def test_a_metric_agrees_with_scikit_learn_across_uneven_batches(
    metric_class, weighted
):
    random = np.random.default_rng(0)
    labels, probabilities = random.integers(0, 2, 50), random.uniform(size=50)
    weights = random.uniform(0, 3, 50) if weighted else None
    metric = metric_class(threshold=0.3)
    for part in np.split(np.arange(50), [20, 40, 41]):
        metric.update_state(
            labels[part], probabilities[part], weights[part] if weighted else None
        )
    expected = ORACLES[metric_class](
        labels, probabilities >= 0.3, sample_weight=weights
    )
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


@every_metric
def test_a_metric_of_logits_agrees_with_that_of_their_probabilities(metric_class):
    random = np.random.default_rng(1)
    labels, logits = random.integers(0, 2, 200), random.normal(size=200)
    probabilities = 1 / (1 + np.exp(-logits))
    for threshold in (0.2, 0.5, 0.8):
        assert score(
            metric_class(threshold, from_logits=True), labels, logits
        ) == score(metric_class(threshold), labels, probabilities)


@every_metric
def test_columns_rows_and_one_weight_for_all_count_alike(metric_class):
    labels, probabilities = np.array([0, 1, 1, 0, 1]), np.linspace(0.9, 0.1, 5)
    weights = np.array([1.0, 2.0, 0.5, 3.0, 0.25])
    expected = score(metric_class(), labels, probabilities, weights)
    assert (
        score(metric_class(), labels, probabilities[:, None], weights[:, None])
        == score(metric_class(), labels[:, None], probabilities, weights)
        == expected
    )
    unweighted = score(metric_class(), labels, probabilities)
    assert score(metric_class(), labels, probabilities, 2.0) == unweighted
    assert expected != unweighted


@pytest.mark.parametrize("case", TFA["agreement"], ids=lambda case: case["name"])
def test_kappa_and_f1_equal_those_of_tensorflow_addons(case):
    update = [
        None if case[key] is None else np.array(case[key])
        for key in ("labels", "probabilities", "weights")
    ]
    if 1 not in case["labels"]:
        # There tensorflow-addons gives NaN and, silently, 0.
        assert (case["cohen_kappa"], case["f1"]) == (None, 0.0)
        assert np.isnan(score(CohenKappa(), *update))
        assert np.isnan(score(F1(), *update))
        return
    assert score(CohenKappa(), *update) == pytest.approx(case["cohen_kappa"], abs=1e-6)
    assert score(F1(), *update) == pytest.approx(case["f1"], abs=1e-6)


@every_metric
def test_a_metric_is_nan_before_the_first_case_and_after_a_reset(metric_class):
    metric = metric_class()
    assert np.isnan(float(metric.result()))
    assert not np.isnan(score(metric, [0, 1, 1], [0.2, 0.9, 0.1]))
    metric.reset_state()
    assert np.isnan(float(metric.result()))


@pytest.mark.parametrize(
    ("label", "probability", "defined"),
    [
        (0, 0.1, {Specificity: 1, Accuracy: 1}),
        (1, 0.9, {Sensitivity: 1, Accuracy: 1, F1: 1, Jaccard: 1}),
        (0, 0.9, {Specificity: 0, Accuracy: 0, F1: 0, Jaccard: 0, CohenKappa: 0}),
        (1, 0.1, {Sensitivity: 0, Accuracy: 0, F1: 0, Jaccard: 0, CohenKappa: 0}),
    ],
)
def test_a_score_of_one_kind_of_case_is_nan_unless_it_is_defined(
    label, probability, defined
):
    for metric_class in ORACLES:
        received = score(metric_class(), [label] * 3, [probability] * 3)
        assert received == pytest.approx(
            defined.get(metric_class, np.nan), nan_ok=True
        ), metric_class


@every_metric
@pytest.mark.parametrize(
    ("label", "probability"), [(0.95, 0.9), (-1, 0.9), (2, 0.9), (1, np.nan)]
)
def test_a_soft_label_or_a_nan_prediction_never_becomes_a_number(
    metric_class, label, probability
):
    metric = metric_class()
    assert not np.isnan(score(metric, [0, 1, 1, 0], [0.1, 0.9, 0.1, 0.9]))
    assert np.isnan(score(metric, [0, label], [0.2, probability]))


def test_a_probability_at_the_threshold_is_malignant():
    at = np.float32(0.7310586)
    assert score(Sensitivity(threshold=at), [1], [at]) == 1
    assert score(Sensitivity(threshold=np.nextafter(at, np.float32(1))), [1], [at]) == 0
    assert score(Sensitivity(from_logits=True), [1], [0.0]) == 1


def test_counts_stay_exact_when_the_network_computes_in_bfloat16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        metric = Accuracy()
        predictions = keras.ops.cast(np.tile([0.25, 0.75], 500), "bfloat16")
        assert score(metric, np.tile([0, 0], 500), predictions) == 0.5
    finally:
        keras.config.set_dtype_policy(before)
    assert metric.confusion.dtype == "float32"
    assert np.asarray(metric.confusion).tolist() == [[500, 500], [0, 0]]


def test_updates_inside_a_graph_of_unknown_batch_size_count_alike():
    # A `Dataset` without static shapes is where a check of shapes must not trip.
    import tensorflow as tf

    metric = CohenKappa()
    column = tf.TensorSpec((None, 1))
    update = tf.function(metric.update_state, input_signature=[column, column])
    labels, probabilities = [[0.0], [1.0], [1.0]], [[0.1], [0.9], [0.3]]
    update(tf.constant(labels), tf.constant(probabilities))
    assert float(metric.result()) == score(CohenKappa(), labels, probabilities)


@pytest.mark.parametrize("threshold", [0, 1, 1.5, -0.1, np.nan, "half", None])
def test_a_threshold_out_of_range_is_named(threshold):
    with pytest.raises(ValueError, match=r"`threshold` must be in \(0, 1\)") as error:
        CohenKappa(threshold=threshold)
    assert f"Received: threshold={threshold!r}" in str(error.value)


def test_from_logits_that_is_no_bool_is_named():
    with pytest.raises(ValueError, match="Received: from_logits='no'"):
        F1(from_logits="no")


@pytest.mark.parametrize("dtype", ["float16", "mixed_bfloat16", "int32"])
def test_a_type_that_cannot_count_is_named(dtype):
    with pytest.raises(ValueError, match=f"'float64'. Received: dtype='{dtype}'"):
        Jaccard(dtype=dtype)


def test_predictions_that_do_not_match_the_labels_are_named():
    with pytest.raises(ValueError, match="Received: 3 labels and 6 predictions"):
        Accuracy().update_state(np.ones(3), np.ones((3, 2)))


@every_metric
def test_a_config_makes_the_same_metric_again(metric_class):
    metric = metric_class(0.3, from_logits=True, name="mine", dtype="float64")
    twin = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(twin) is metric_class
    assert twin.get_config() == metric.get_config()
    assert (twin.threshold, twin.from_logits, twin.name) == (0.3, True, "mine")
    assert twin.confusion.dtype == "float64"


@pytest.mark.parametrize("from_logits", [False, True])
def test_a_saved_model_evaluates_alike_with_all_training_metrics(tmp_path, from_logits):
    random = np.random.default_rng(2)
    features = random.normal(size=(64, 3)).astype("float32")
    labels = (features[:, 0] + random.normal(size=64) > 0).astype("float32")[:, None]
    keras.utils.set_random_seed(3)
    head = keras.layers.Dense(1, None if from_logits else "sigmoid")
    model = keras.Sequential([keras.Input((3,)), head])
    model.compile(
        "sgd",
        keras.losses.BinaryCrossentropy(from_logits=from_logits),
        metrics=training_metrics(from_logits),
    )
    model.fit(features, labels, epochs=2, batch_size=24, verbose=0)
    expected = model.evaluate(features, labels, return_dict=True, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    received = loaded.evaluate(features, labels, return_dict=True, verbose=0)
    assert received == pytest.approx(expected, abs=1e-6)
    names = ["auc", "accuracy", "sensitivity", "specificity", "f1"]
    assert set(expected) == {"loss", *names, "cohen_kappa", "jaccard"}
    decisions = model.predict(features, verbose=0) >= (0 if from_logits else 0.5)
    for metric_class, oracle in ORACLES.items():
        name = metric_class.own_name
        assert received[name] == pytest.approx(oracle(labels, decisions), abs=1e-6)


@pytest.mark.parametrize("confidence", [0.5, 1, 4, 8])
def test_the_auc_of_an_overconfident_network_is_right_to_three_thousandths(confidence):
    random = np.random.default_rng(4)
    labels = random.integers(0, 2, 300)
    logits = confidence * (random.normal(size=300) + 1.8 * labels - 0.9)
    auc = training_metrics(from_logits=True)[0]
    expected = roc_auc_score(labels, logits)
    assert score(auc, labels, logits) == pytest.approx(expected, abs=3e-3)


def test_a_training_metric_has_the_name_of_the_history_column():
    names = [metric.name for metric in training_metrics(from_logits=True)]
    # A second list must not be called `f1_1`: `monitor` looks for `val_f1`.
    assert [metric.name for metric in training_metrics(from_logits=True)] == names
    assert names[-2:] == ["cohen_kappa", "jaccard"]


def test_the_base_has_no_score_of_its_own():
    with pytest.raises(NotImplementedError):
        ConfusionMetric(name="none").result()


@pytest.mark.parametrize("from_logits", [False, True])
def test_the_focal_loss_we_use_equals_that_of_tensorflow_addons(from_logits):
    case = TFA["focal_loss"]
    kind = "logits" if from_logits else "probabilities"
    loss = keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=True,
        alpha=0.25,
        gamma=2.0,
        from_logits=from_logits,
        reduction="none",
    )(np.array(case["labels"])[:, None], np.array(case[kind], "float32")[:, None])
    expected = np.array(case[f"loss_from_{kind}"])
    assert expected.max() > 4  # confident mistakes are among them
    np.testing.assert_allclose(loss, expected, rtol=1e-3, atol=1e-7)
