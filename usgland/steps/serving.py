"""`export`: joins a run, its images and the writer of SavedModels."""

from pathlib import Path

from rich.console import Console

from usgland.config import load_config
from usgland.data.sources import run_rows
from usgland.runs import CONFIG, MODEL, find_run
from usgland.serving.export import export_model
from usgland.steps.models import load_model

PARITY_IMAGES = 20  # that an export must agree on before it is published


def export(run: Path, models_dir: Path, name: str) -> Path:
    """Writes the run's model under `models_dir/name` and returns the new version."""
    config = load_config(find_run(run, MODEL) / CONFIG)
    rows = run_rows(run, config, Console(quiet=True))
    paths = rows.loc[rows["role"] == "val", "image_path"].head(PARITY_IMAGES)
    images = [Path(path).read_bytes() for path in paths]
    return export_model(load_model(run), models_dir / name, images)
