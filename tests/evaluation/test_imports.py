"""What a statistician needs not have: TensorFlow, and a window for plots."""

import subprocess
import sys

CODE = """
import importlib, pkgutil, sys
import usgland.evaluation as rooms
for module in pkgutil.walk_packages(rooms.__path__, "usgland.evaluation."):
    importlib.import_module(module.name)
print(sorted({"tensorflow", "keras", "matplotlib.pyplot"} & set(sys.modules)))
"""


def test_no_room_of_evaluation_imports_tensorflow_or_pyplot():
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
