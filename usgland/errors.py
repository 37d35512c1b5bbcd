"""The one exception that reaches a user as a single line; a package that is missing."""

import importlib.util

from usgland import __version__

# Module -> its package and the extra of setup.cfg that has it.
EXTRAS = {
    "docx": ("python-docx", "docx"),
    "ai_edge_litert": ("ai-edge-litert", "litert"),
    "tf2onnx": ("tf2onnx", "onnx"),
    "onnx": ("onnx", "onnx"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "cryptography": ("cryptography", "sign"),
    "pydicom": ("pydicom", "ingest"),
    "rapidocr": ("rapidocr", "ingest"),
    "gdcm": ("python-gdcm", "ingest"),
    "dicomanonymizer": ("dicom-anonymizer", "ingest"),
    "opentelemetry": ("opentelemetry-api", "otel"),
}


class UserError(Exception):
    """A mistake in a file, a setting or a command that its user can mend.

    The message says what was expected, what was received and, where that is not
    obvious, what to do. The command line shows it without a traceback.
    """


def check_installed(what: str, *modules: str) -> None:
    """Checks that modules can be imported, without importing them.

    Args:
        what: What needs them, e.g. `--docx`.
        *modules: Their names, among `EXTRAS` or of what usgland always needs.

    Raises:
        UserError: If one is missing, with the command that installs it.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise not_installed(what, *missing)


def not_installed(what: str, *modules: str) -> UserError:
    """The error of modules that are missing: one line with the command to install them.

    pip takes the usgland that is installed and adds what that one lacks.
    """
    named = [EXTRAS.get(name, (name, ""))[0] for name in modules]
    extras = sorted({EXTRAS[name][1] for name in modules if name in EXTRAS})
    if not extras and importlib.util.find_spec("tensorflow") is None:
        named = ["TensorFlow"]  # The others go with it; this one is known by name.
    extra = f"[{','.join(extras)}]" if extras else ""
    return UserError(
        f"{what} needs {', '.join(named)}, which {'is' if len(named) == 1 else 'are'} "
        f"not installed here: pip install 'usgland{extra}=={__version__}'"
    )
