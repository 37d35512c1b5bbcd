"""Benign or malignant? Ultrasound classifiers that survive review.

    import usgland

    load_run      a trained run: what it says of images, and where it looked
    load_config   the settings of an experiment, from a YAML file

The statistics are in `usgland.evaluation`, the commands in `usgland --help`.
"""

from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from usgland.config import load_config as load_config
    from usgland.steps.loaded_run import load_run as load_run
else:
    __all__ = ["load_config", "load_run"]

    def __dir__():
        return [*__all__, "__version__"]

    def __getattr__(name):
        # Late: settings take a tenth of a second to import, TensorFlow five.
        if name == "load_config":
            from usgland.config import load_config

            return load_config
        if name == "load_run":
            from usgland.errors import check_installed
            from usgland.startup import load_steps

            check_installed("`usgland.load_run`", "tensorflow")
            return load_steps("loaded_run", verbose=False).load_run
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
