import keras
import pytest
from rich.console import Console

from usgland.config import dump_config, load_config
from usgland.errors import UserError
from usgland.models.preprocessing import Preprocessing
from usgland.steps import joined_folds
from usgland.steps.joined_folds import join_folds, one_model


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A cross-validation whose two folds are the models of the dict that it gives."""
    for fold in "01":
        (tmp_path / "folds" / fold).mkdir(parents=True)
    (tmp_path / "config.yaml").write_text(dump_config(load_config(None)))
    (tmp_path / "predictions.csv").touch()
    monkeypatch.setattr(joined_folds, "load_model", lambda path: MODELS[path.name])
    return tmp_path


def model_of(size, percentiles):
    files = keras.Input((), dtype="string")
    layer = Preprocessing(size, percentiles, "none", name="preprocessing")
    return keras.Model(files, layer(files))


MODELS = {"0": model_of(64, (1.0, 99.0)), "1": model_of(64, (5.0, 95.0))}


def test_folds_that_see_images_differently_are_one_line(run):
    message = r"folds that share their preprocessing, .*\(5.0, 95.0\) in .*folds/1 and"
    with pytest.raises(UserError, match=message):
        join_folds(run, Console(quiet=True))
    assert not (run / "together").exists()


def test_folds_with_a_form_are_one_line(run):
    settings = load_config(None, ["model.inputs=both"])
    (run / "config.yaml").write_text(dump_config(settings))
    with pytest.raises(UserError, match="of images alone, .* each encode the form by"):
        join_folds(run, Console(quiet=True))


def test_an_unfinished_cross_validation_is_one_line(run):
    (run / "predictions.csv").unlink()
    with pytest.raises(
        UserError, match="Expected a run directory with predictions.csv"
    ):
        one_model(run, Console(quiet=True))


def test_a_run_with_one_model_is_itself(run):
    assert one_model(run / "folds" / "0", Console(quiet=True)) == run / "folds" / "0"
