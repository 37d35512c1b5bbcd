"""Benign or malignant? Ultrasound classifiers that survive review.

    import usgland

    load_run      a trained run: what it says of images, and where it looked
    load_config   the settings of an experiment, from a YAML file
    evaluation    the statistics, of arrays and tables

`usgland --help` lists the commands.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    import usgland.evaluation as evaluation
    from usgland.config import load_config as load_config
    from usgland.steps.loaded_run import load_run as load_run
else:
    __all__ = ["evaluation", "load_config", "load_run"]

    def __dir__():
        return [*__all__, "__version__"]

    def __getattr__(name):
        # Late: settings take a tenth of a second to import, TensorFlow five.
        if name == "load_run":
            from usgland.startup import load_steps

            return load_steps("loaded_run", verbose=False).load_run
        if name == "load_config":
            return importlib.import_module("usgland.config").load_config
        if name == "evaluation":
            return importlib.import_module("usgland.evaluation")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
