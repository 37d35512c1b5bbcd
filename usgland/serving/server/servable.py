"""One version of a model: loaded, warmed up, run and closed as TF Serving does it."""

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from usgland.serving.interface import inputs as tensors
from usgland.serving.interface.inputs import DEFAULT_SIGNATURE, Arrays
from usgland.serving.interface.status import RequestError, invalid
from usgland.serving.interface.versions import WARMUP_REQUESTS

MAX_WARMUP_RECORDS = 1000  # TensorFlow Serving refuses more, too.


class Servable:
    """A SavedModel in a session of its own.

    A session, as in TensorFlow Serving: it ends a run that takes too long, and
    `close` gives its memory back.

    Raises:
        tf.errors.OpError, OSError, ValueError, KeyError, RuntimeError: If it is not
            a whole SavedModel.
    """

    def __init__(self, path: Path, name: str, version: int):
        self.path, self.name, self.version = path, name, version
        self.users = 0  # requests that hold it
        self._callables: dict[tuple[str, tuple[str, ...]], Callable] = {}
        self._lock = threading.Lock()
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph)
        try:
            with self._graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(
                    self._session, ["serve"], str(path)
                )
        except BaseException:
            self._session.close()
            raise
        self.signatures: dict[str, Any] = dict(meta_graph.signature_def)

    def signature(self, name: str) -> Any:
        """The SignatureDef of that name; "" means `serving_default`.

        Raises:
            RequestError: FAILED_PRECONDITION if there is none.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise RequestError(
                "FAILED_PRECONDITION",
                f'Serving signature name: "{name[:100]}" not found in signature def. '
                f"Expected one of: {', '.join(self.signature_names())}",
            )
        return self.signatures[name]

    def signature_names(self) -> list[str]:
        return sorted(name for name in self.signatures if not name.startswith("__"))

    def run(
        self, signature: str, outputs: Sequence[str], inputs: Arrays, seconds: float
    ) -> Arrays:
        """Runs checked inputs through a signature and gives the outputs asked for.

        Raises:
            tf.errors.OpError: What the graph raises; DeadlineExceededError if late.
        """
        names = sorted(inputs)
        key = (signature, tuple(outputs))
        with self._lock:
            if key not in self._callables:
                definition = self.signatures[signature]
                with self._graph.as_default():
                    self._callables[key] = self._session.make_callable(
                        [definition.outputs[name].name for name in outputs],
                        [definition.inputs[name].name for name in names],
                        accept_options=True,
                    )
            call = self._callables[key]
        options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(1000 * seconds)))
        values = call(*(inputs[name] for name in names), options=options)
        return {
            name: np.asarray(value) for name, value in zip(outputs, values, strict=True)
        }

    def warm_up(self, seconds: float) -> int:
        """Replays the requests that were exported with the model, and counts them.

        Raises:
            RequestError, tf.errors.OpError: If one fails: the version is not served.
        """
        path = self.path / WARMUP_REQUESTS
        if not path.exists():
            return 0
        number = 0
        for number, log in enumerate(warmup_logs(path), start=1):
            if number > MAX_WARMUP_RECORDS:
                raise invalid(
                    f"Expected at most {MAX_WARMUP_RECORDS} warm-up requests in {path}"
                )
            request = log.predict_log.request
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            signature = self.signature(name)
            inputs = tensors.checked(signature, tensors.arrays_of(request.inputs))
            self.run(name, sorted(signature.outputs), inputs, seconds)
        return number

    def close(self) -> None:
        """Gives the memory back; nobody may run it from now on."""
        self._callables.clear()
        self._session.close()


def warmup_logs(path: Path) -> Iterable[Any]:
    """Reads the requests that were exported with a version, as `PredictionLog`s.

    Raises:
        RequestError: INVALID_ARGUMENT if the file holds anything else.
    """
    # All at once: the end of an iterator may wait as long again as it was in use.
    for record in list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()):
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError as error:
            raise invalid(f"Expected PredictionLog records in {path}") from error
        if not log.HasField("predict_log"):
            raise invalid(f"Expected only records of Predict requests in {path}")
        yield log
