"""Counts and times for Prometheus, under the names that TensorFlow Serving gives them.

Its dashboards and alerts work with this server as well. What it has no name for
starts with `usgland_`.
"""

import functools
from collections import Counter
from collections.abc import Iterator

import prometheus_client
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MICROSECONDS = tuple(500.0 * 2**n for n in range(17))  # 0.5 ms to 33 s
ROWS = (1, 2, 4, 8, 16, 32)


class RequestCount(Collector):
    """`:tensorflow:serving:request_count`, without the library's `_total`."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def collect(self) -> Iterator[Metric]:
        name = ":tensorflow:serving:request_count"
        metric = Metric(name, "Requests by model and by how they ended.", "unknown")
        for (model, status), count in sorted(self.counts.items()):
            metric.add_sample(name, {"model_name": model, "status": status}, count)
        yield metric


class Telemetry:
    """All counts of one server."""

    def __init__(self) -> None:
        registry = self.registry = prometheus_client.CollectorRegistry()
        histogram = functools.partial(prometheus_client.Histogram, registry=registry)
        gauge = functools.partial(prometheus_client.Gauge, registry=registry)
        self.request_count = RequestCount()
        registry.register(self.request_count)
        self.request_latency = histogram(
            ":tensorflow:serving:request_latency",
            "Microseconds from a request to its answer.",
            ("model_name", "API", "entrypoint"),
            buckets=MICROSECONDS,
        )
        self.runtime_latency = histogram(
            ":tensorflow:serving:runtime_latency",
            "Microseconds of one run of a model.",
            ("model_name", "API", "runtime"),
            buckets=MICROSECONDS,
        )
        self.queue_latency = histogram(
            "usgland_queue_latency",
            "Microseconds for which a request waited for a thread.",
            ("model_name",),
            buckets=MICROSECONDS,
        )
        self.batch_rows = histogram(
            "usgland_batch_rows",
            "Cases in one run of a model.",
            ("model_name",),
            buckets=ROWS,
        )
        self.requests = gauge(
            "usgland_requests", "Requests that have come and wait or run now."
        )
        self.waiting = gauge("usgland_waiting", "Requests that wait for a thread.")
        prometheus_client.ProcessCollector(registry=registry)

    def request(self, model: str, api: str, code: str, seconds: float) -> None:
        """Counts a Predict request by `REST` or `GRPC`.

        Where no such model is known its name is "", so that a client cannot make
        names without end.
        """
        self.request_count.counts[model, code] += 1
        self.request_latency.labels(model, "predict", api).observe(seconds * 1e6)

    def queue(self, model: str, seconds: float) -> None:
        """Counts how long a request waited for a thread."""
        self.queue_latency.labels(model).observe(seconds * 1e6)

    def batch(self, model: str, rows: int, seconds: float) -> None:
        """Counts a run of a model."""
        self.runtime_latency.labels(model, "Predict", "TF1").observe(seconds * 1e6)
        self.batch_rows.labels(model).observe(rows)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return prometheus_client.generate_latest(self.registry)
