import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from sklearn.metrics import roc_curve

from usgland.errors import UserError
from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.performance.measure_plots import (
    confusion_plot,
    history_plot,
    read_history,
    roc_plot,
)
from usgland.evaluation.performance.measures import metrics_of
from usgland.evaluation.shown.plot_frame import COLOURS, save_plot


@pytest.fixture
def test_rows(predictions):
    return predictions[predictions["role"] == "test"]


@pytest.fixture
def metrics(test_rows, settings):
    return metrics_of(test_rows, Thresholds.at(0.45), settings, synthetic=True)


def words(figure):
    """All text that is drawn."""
    figure.draw_without_rendering()
    return [
        artist.get_text()
        for artist in figure.findobj(lambda artist: hasattr(artist, "get_text"))
    ]


def all_figures(rows, metrics, history):
    synthetic = metrics["synthetic"]
    return [
        roc_plot(rows, metrics),
        confusion_plot(metrics),
        history_plot(history, synthetic=synthetic, kept_epoch=1),
    ]


def test_figures_are_written_at_300_dots_an_inch_and_not_empty(
    test_rows, metrics, history, tmp_path
):
    for i, figure in enumerate(all_figures(test_rows, metrics, history)):
        path = tmp_path / "figures" / f"{i}.png"
        save_plot(figure, path)
        with Image.open(path) as image:
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
            assert image.width > 1200
            assert np.asarray(image.convert("L")).std() > 10
    assert len(list(tmp_path.rglob("*.*"))) == 3


def test_every_figure_of_synthetic_data_says_so_and_of_real_data_does_not(
    test_rows, metrics, history
):
    for figure in all_figures(test_rows, metrics, history):
        assert "SYNTHETIC DATA" in words(figure)
        # In each panel, too, should one be cut out.
        assert words(figure).count("SYNTHETIC") == len(figure.axes)
    for figure in all_figures(test_rows, metrics | {"synthetic": False}, history):
        assert not any("SYNTHETIC" in text for text in words(figure))


def test_nothing_is_clipped_by_the_edge_of_the_figure(test_rows, metrics, history):
    for synthetic in (True, False):
        marked = metrics | {"synthetic": synthetic}
        for figure in all_figures(test_rows, marked, history):
            figure.draw_without_rendering()
            box, bounds = figure.get_tightbbox(), figure.bbox_inches
            assert box.x0 >= bounds.x0 - 1e-9
            assert box.y0 >= bounds.y0 - 1e-9
            assert box.x1 <= bounds.x1 + 1e-9
            assert box.y1 <= bounds.y1 + 1e-9
            # The band of the mark ends above the panels and their titles.
            for axes in figure.axes:
                top = axes.get_tightbbox().y1 / figure.bbox.height
                band = 0.42 / figure.get_figheight() if synthetic else 0
                assert top <= 1 - band + 1e-9


def test_the_roc_curve_has_equal_axes_and_the_points_of_scikit_learn(
    test_rows, metrics
):
    (axes,) = roc_plot(test_rows, metrics).axes
    assert axes.get_aspect() == 1
    assert axes.get_xlabel() == "1 \N{MINUS SIGN} specificity"
    assert axes.get_ylabel() == "Sensitivity"
    _, image, point, _patient, _ = axes.lines
    false, true, _ = roc_curve(
        test_rows["label"], test_rows["probability"], drop_intermediate=False
    )
    np.testing.assert_allclose(image.get_xydata(), np.c_[false, true])
    (tn, fp), (fn, tp) = metrics["image"]["confusion"]
    expected = [[fp / (tn + fp), tp / (tp + fn)]]
    np.testing.assert_allclose(point.get_xydata(), expected)


def test_the_legend_gives_unit_n_auc_and_interval(test_rows, metrics):
    (axes,) = roc_plot(test_rows, metrics).axes
    figure = metrics["patient"]["figures"]["roc_auc"]
    expected = (
        f"per patient (n = 20): {figure['value']:.3f} "
        f"({figure['low']:.3f} to {figure['high']:.3f})"
    )
    assert expected in [text.get_text() for text in axes.get_legend().get_texts()]


def test_units_differ_in_line_style_and_in_grey(test_rows, metrics):
    (axes,) = roc_plot(test_rows, metrics).axes
    styles = {line.get_linestyle() for line in (axes.lines[1], axes.lines[3])}
    assert len(styles) == 2
    luminance = [np.dot(to_rgb(c), (0.2126, 0.7152, 0.0722)) for c in COLOURS.values()]
    assert abs(luminance[0] - luminance[1]) > 0.04


def test_one_class_draws_no_curve_and_says_undefined(test_rows, settings, history):
    benign = test_rows[test_rows["label"] == 0]
    metrics = metrics_of(benign, Thresholds.at(0.5), settings, synthetic=False)
    figures = all_figures(benign, metrics, history)
    assert any(text.endswith(": undefined") for text in words(figures[0]))
    assert "0\nno cases" in words(figures[1])


def test_the_confusion_matrix_shows_counts_and_percent_of_the_label(metrics):
    changed = metrics | {"image": metrics["image"] | {"confusion": [[34, 2], [1, 35]]}}
    texts = words(confusion_plot(changed))
    for cell in ("34\n94.4%", "2\n5.6%", "1\n2.8%", "35\n97.2%"):
        assert cell in texts


def test_training_curves_count_epochs_from_one_and_mark_the_kept_one(history):
    figure = history_plot(history, synthetic=False, kept_epoch=1)
    loss, accuracy = figure.axes
    np.testing.assert_allclose(
        loss.lines[1].get_xydata(), np.c_[[1, 2, 3], history["val_loss"]]
    )
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), history["accuracy"])
    assert "kept: epoch 2" in words(figure)
    unknown = history_plot(history, synthetic=False)
    assert not any("kept" in text for text in words(unknown))


def test_a_single_epoch_is_seen(history):
    figure = history_plot(history[:1], synthetic=False)
    assert {line.get_marker() for line in figure.axes[0].lines} == {"o"}


def test_a_run_that_holds_nobody_back_has_one_curve(history, tmp_path):
    alone = history.drop(columns=["val_loss", "val_accuracy"])
    alone.to_csv(tmp_path / "history.csv", index=False)
    assert read_history(tmp_path / "history.csv").equals(alone)
    figure = history_plot(alone, synthetic=False)
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]
    assert "validation" not in words(figure)


def test_history_is_read_back(history, tmp_path):
    history.to_csv(tmp_path / "history.csv", index=False)
    assert read_history(tmp_path / "history.csv").equals(history)


def test_a_history_that_cannot_be_drawn_is_named(history, tmp_path):
    path = tmp_path / "history.csv"
    with pytest.raises(UserError, match="Received: no file at .*history.csv"):
        read_history(path)
    history[:0].to_csv(path, index=False)
    with pytest.raises(UserError, match="one row an epoch .* Received: no epochs"):
        read_history(path)
    history.drop(columns="val_loss").to_csv(path, index=False)
    with pytest.raises(UserError, match="Received: a file without val_loss"):
        read_history(path)
    history.astype(object).assign(loss="x").to_csv(path, index=False)
    with pytest.raises(UserError, match="row 2: `loss`: expected a number. .* 'x'"):
        read_history(path)
