"""One version of a model: loaded, warmed up, run and closed as TF Serving does it."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from usgland.serving.interface import inputs as tensors
from usgland.serving.interface.inputs import DEFAULT_SIGNATURE, Arrays
from usgland.serving.interface.request_wire import read_request
from usgland.serving.interface.status import RequestError, invalid
from usgland.serving.interface.versions import (
    MODEL_SHEET,
    WARMUP_REQUESTS,
    read_regular,
)

UNKNOWN_SIGNATURE = "Serving signature key"  # the words with which the error begins
VERSION_OUTPUT = "model_version"  # of each signature of `usgland export`
# Threads of the graph's operations: 0 is TensorFlow's own pool, for small requests.
SMALL_POOL, LARGE_POOL = 0, 1
LARGE_THREADS = 2
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
        # What the reading page shows of it, or why it shows nothing.
        self.sheet: tuple[dict[str, Any] | None, str] = None, ""
        self._callables: dict[str, Callable] = {}
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=_two_pools())
        try:
            with self._graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(
                    self._session, ["serve"], str(path)
                )
        except BaseException:
            self._session.close()
            raise
        self.signatures: dict[str, Any] = dict(meta_graph.signature_def)
        self.row_values = max(
            map(tensors.values_of_row, self.signatures.values()), default=0
        )
        self._copied_from = _copied_from(path, name, version)
        with self._graph.as_default():
            for signature in self.signature_names():
                self._make_callable(signature)

    def _make_callable(self, name: str) -> None:
        # One for all outputs: each choice of them would be compiled and kept.
        definition = self.signatures[name]
        self._callables[name] = self._session.make_callable(
            [info.name for _, info in sorted(definition.outputs.items())],
            [info.name for _, info in sorted(definition.inputs.items())],
            accept_options=True,
        )

    def signature(self, name: str) -> Any:
        """The SignatureDef of that name; "" means `serving_default`.

        Raises:
            RequestError: FAILED_PRECONDITION if there is none.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self._callables:
            raise RequestError(
                "FAILED_PRECONDITION",
                f'{UNKNOWN_SIGNATURE} "{name[:100]}" not found. Expected one of: '
                f"{', '.join(self.signature_names())}",
            )
        return self.signatures[name]

    def signature_names(self) -> list[str]:
        """What can be asked for: not the graph's own, such as its initialization."""
        return sorted(name for name in self.signatures if not name.startswith("__"))

    def run(
        self,
        signature: str,
        outputs: Sequence[str],
        inputs: Arrays,
        seconds: float,
        large: bool = False,
    ) -> Arrays:
        """Runs checked inputs through a signature and gives the outputs asked for.

        Those that are large have threads of their own for the graph's operations.

        Raises:
            tf.errors.OpError: What the graph raises; DeadlineExceededError if late.
        """
        options = tf.compat.v1.RunOptions(
            timeout_in_ms=max(1, int(1000 * seconds)),
            inter_op_thread_pool=LARGE_POOL if large else SMALL_POOL,
        )
        call = self._callables[signature]
        values = call(*(inputs[name] for name in sorted(inputs)), options=options)
        names = sorted(self.signatures[signature].outputs)
        answer = {
            name: np.asarray(value)
            for name, value in zip(names, values, strict=True)
            if name in outputs
        }
        if self._copied_from and VERSION_OUTPUT in answer:
            own = np.array(f"{self.name}/{self.version}".encode(), object)
            texts = answer[VERSION_OUTPUT]
            answer[VERSION_OUTPUT] = np.where(texts == self._copied_from, own, texts)
        return answer

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
            inputs = tensors.checked(signature, warmup_inputs(request, signature))
            self.run(name, sorted(signature.outputs), inputs, seconds)
        return number

    def close(self) -> None:
        """Gives the memory back; nobody may run it from now on."""
        self._callables.clear()
        self._session.close()


def _two_pools() -> Any:
    """Threads for small requests and for large ones, which would take all of them."""
    config = tf.compat.v1.ConfigProto()
    config.session_inter_op_thread_pool.add()
    config.session_inter_op_thread_pool.add(num_threads=LARGE_THREADS)
    return config


def _copied_from(path: Path, name: str, version: int) -> bytes:
    """The `model_version` that the graph of a copied folder gives; else b""."""
    try:
        sheet = json.loads(read_regular(path / MODEL_SHEET))
        written = f"{sheet['name']}/{sheet['version']}".encode()
    except (OSError, ValueError, KeyError, TypeError):
        return b""  # It has no sheet that says so.
    return b"" if written == f"{name}/{version}".encode() else written


def warmup_inputs(request: Any, signature: Any) -> Arrays:
    """The inputs of a request that was exported with a version."""
    most = tensors.most_values(tensors.values_of_row(signature), tensors.MAX_ROWS)
    message = read_request(request.SerializeToString(), most)
    return tensors.arrays_of(message.inputs, signature)


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
