"""Spans of requests for OpenTelemetry: what a request waits for, in its own trace.

Only the API is used. Where spans go to is settled by whoever starts the process, e.g.
`opentelemetry-instrument usgland serve --traces`.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from usgland import __version__
from usgland.errors import check_installed
from usgland.serving.interface.status import RequestError
from usgland.serving.server.logs import log

# The headers, or metadata of gRPC, that name the trace of whoever asks.
CARRIED = ("traceparent", "tracestate")


class Traces:
    """Makes spans, or nothing without `--traces`. They hold nothing of a request.

    Raises:
        UserError: If OpenTelemetry is asked for and not installed.
    """

    def __init__(self, wanted: bool):
        self._api: Any = None
        if not wanted:
            return
        check_installed("--traces", "opentelemetry")
        from opentelemetry import propagate, trace

        self._api, self._propagate = trace, propagate
        self._tracer = trace.get_tracer("usgland", __version__)
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            log("warning", "traces_go_nowhere", start_with="opentelemetry-instrument")

    @contextlib.contextmanager
    def request(
        self, carrier: Mapping[str, Any], attributes: Mapping[str, Any]
    ) -> Iterator[None]:
        """The span of a request, in the trace that its sender names, if any."""
        if self._api is None:
            yield
            return
        named = {name: str(carrier[name]) for name in CARRIED if name in carrier}
        with self._tracer.start_as_current_span(
            "predict",
            self._propagate.extract(named),
            self._api.SpanKind.SERVER,
            {f"usgland.{name}": value for name, value in attributes.items()},
            record_exception=False,  # Its words may quote a value.
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except RequestError as error:
                span.set_attribute("usgland.code", error.code)
                span.set_status(self._api.StatusCode.ERROR)
                raise

    def past(self, name: str, start: float, end: float, **attributes: Any) -> None:
        """The span of a part that is over; in seconds of `time.monotonic`."""
        if self._api is None:
            return
        past = time.time_ns() - time.monotonic_ns()
        named = {f"usgland.{key}": value for key, value in attributes.items()}
        begun = int(start * 1e9) + past
        span = self._tracer.start_span(name, attributes=named, start_time=begun)
        span.end(int(end * 1e9) + past)
