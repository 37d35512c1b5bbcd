"""One version of a model: loaded, warmed up, run and closed as TF Serving does it."""

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from usgland.serving.status import RequestError, invalid

DEFAULT_SIGNATURE = "serving_default"
WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_WARMUP_RECORDS = 1000  # TensorFlow Serving refuses more, too.
MAX_ELEMENTS = 2**24  # of one tensor of a request: an image of 16 megapixels

Arrays = dict[str, np.ndarray]


class Servable:
    """A SavedModel in a session of its own.

    A session, as in TensorFlow Serving: it ends a run that takes too long, and
    `close` gives its memory back.

    Args:
        path: Folder of the version.
        name: Name of the model.
        version: Number of the version.

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
        """Runs checked inputs through a signature.

        Args:
            signature: Its name.
            outputs: Names of the outputs to compute.
            inputs: Every input of the signature by its name.
            seconds: After which TensorFlow gives up.

        Returns:
            The outputs by their names.

        Raises:
            tf.errors.OpError: What the graph raises; DeadlineExceededError if late.
        """
        names = sorted(inputs)
        call = self._callable(signature, names, tuple(outputs))
        options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(1000 * seconds)))
        values = call(*(inputs[name] for name in names), options=options)
        return {
            name: np.asarray(value) for name, value in zip(outputs, values, strict=True)
        }

    def _callable(
        self, signature: str, names: list[str], outputs: tuple[str, ...]
    ) -> Callable:
        key = (signature, outputs)
        with self._lock:
            if key not in self._callables:
                definition = self.signatures[signature]
                with self._graph.as_default():
                    self._callables[key] = self._session.make_callable(
                        [definition.outputs[name].name for name in outputs],
                        [definition.inputs[name].name for name in names],
                        accept_options=True,
                    )
            return self._callables[key]

    def warm_up(self, seconds: float) -> int:
        """Replays the requests that were exported with the model.

        Returns:
            How many there were.

        Raises:
            RequestError, tf.errors.OpError: If one fails: the version is not served.
        """
        path = self.path / WARMUP
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
            inputs = checked(signature, arrays_of(request.inputs))
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
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError as error:
            raise invalid(f"Expected PredictionLog records in {path}") from error
        if not log.HasField("predict_log"):
            raise invalid(f"Expected only records of Predict requests in {path}")
        yield log


def arrays_of(protos: Any) -> Arrays:
    """Reads the tensors of a gRPC request.

    Raises:
        RequestError: INVALID_ARGUMENT if one is damaged.
    """
    arrays = {}
    for name, proto in protos.items():
        sizes = [dim.size for dim in proto.tensor_shape.dim]
        # One stored value may stand for a whole tensor: a few bytes, then gigabytes.
        if min(sizes, default=0) < 0 or math.prod(sizes) > MAX_ELEMENTS:
            raise invalid(
                f"Expected {name[:100]} with at most {MAX_ELEMENTS} values. Received "
                f"the shape {sizes[:8]}"
            )
        try:
            arrays[name] = tf.make_ndarray(proto)
        except (TypeError, ValueError, KeyError) as error:
            raise invalid(f"tensor parsing error: {name[:100]}") from error
    return arrays


def checked(signature: Any, inputs: Arrays) -> Arrays:
    """Completes inputs by the signature's defaults and checks names, types, shapes.

    Raises:
        RequestError: INVALID_ARGUMENT; it says what the signature takes.
    """
    expected = describe(signature)
    extra = sorted(set(inputs) - set(signature.inputs))
    missing = sorted(set(signature.inputs) - set(inputs) - set(signature.defaults))
    if extra or missing:
        raise invalid(
            f"input size does not match signature. Sent extra: {{{_names(extra)}}}. "
            f"Missing but required: {{{_names(missing)}}}. Expected: {expected}"
        )
    whole = {}
    lengths = {len(array) for array in inputs.values() if array.ndim}
    rows = lengths.pop() if len(lengths) == 1 and takes_rows(signature) else 1
    for name, info in signature.inputs.items():
        if name in inputs:
            array = inputs[name]
        else:
            array = tf.make_ndarray(signature.defaults[name])
            if rows > 1 and len(array) == 1:
                # One for each case, so that the request can run in parts.
                array = np.repeat(array, rows, axis=0)
        wanted = tf.dtypes.as_dtype(info.dtype)
        received = tf.string if array.dtype.kind in "OSU" else array.dtype
        if wanted != received:
            received = tf.dtypes.as_dtype(received).name
            raise invalid(f"Expected {name} to be {wanted.name}. Received: {received}")
        if not tf.TensorShape(info.tensor_shape).is_compatible_with(array.shape):
            raise invalid(
                f"Expected {name} of shape {_shape(info)}. Received: "
                f"{list(array.shape)}"
            )
        whole[name] = array
    return whole


def describe(signature: Any) -> str:
    """What a signature takes, e.g. `age_years float32 [?], image_bytes string [?]`."""
    return ", ".join(
        f"{name} {tf.dtypes.as_dtype(info.dtype).name} {_shape(info)}"
        for name, info in sorted(signature.inputs.items())
    )


def takes_rows(signature: Any) -> bool:
    """Whether every input and output has one row a case, in any number.

    Only then may requests run together, and a large one in parts.
    """
    shapes = [
        info.tensor_shape
        for infos in (signature.inputs, signature.outputs)
        for info in infos.values()
    ]
    return bool(shapes) and all(
        not shape.unknown_rank and shape.dim and shape.dim[0].size == -1
        for shape in shapes
    )


def _shape(info: Any) -> str:
    if info.tensor_shape.unknown_rank:
        return "of any shape"
    sizes = ("?" if dim.size < 0 else str(dim.size) for dim in info.tensor_shape.dim)
    return f"[{', '.join(sizes)}]"


def _names(names: list[str]) -> str:
    return ", ".join(name[:100] for name in names[:20])
