"""Spans of OpenTelemetry: where a request has spent its time, and nothing of it."""

import itertools
import json

import pytest

from usgland.errors import UserError
from usgland.serving.server import tracing
from usgland.serving.server.server_options import ServerOptions

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_has_spans_in_the_trace_of_its_client(models_dir, serving):
    trace = pytest.importorskip("opentelemetry.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip(
        "opentelemetry.sdk.trace.export.in_memory_span_exporter"
    ).InMemorySpanExporter()
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    path = "/v1/models/tiny:predict"
    image = serving.b64(serving.png(7))
    good = json.dumps({"signature_name": "image_only", "instances": [image]})
    bad = json.dumps({"signature_name": "image_only", "instances": ["a patient"]})
    with serving.RunningServer(ServerOptions(models_dir, traces=True)) as server:
        header = {"traceparent": PARENT}
        assert server.client.call("POST", path, good, header)[0] == 200
        assert server.client.call("POST", path, bad)[0] == 400
    spans = memory.get_finished_spans()
    assert [span.name for span in spans] == [
        *("decode", "queue", "model", "predict", "decode", "predict")
    ]
    decode, queue, model, whole, _, failed = spans
    assert f"{whole.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{whole.parent.span_id:016x}" == PARENT.split("-")[2]
    for part in (decode, queue, model):
        assert part.parent.span_id == whole.context.span_id
    ends = [whole.start_time, decode.start_time, decode.end_time, queue.end_time]
    ends += [model.end_time, whole.end_time]
    slack = 5_000_000  # nanoseconds: two clocks are read one after the other
    assert all(a <= b + slack for a, b in itertools.pairwise(ends))
    assert whole.attributes["usgland.model"] == "tiny"
    assert len(whole.attributes["usgland.request"]) == 32
    assert failed.attributes["usgland.code"] == "INVALID_ARGUMENT"
    assert not failed.status.is_ok
    assert not any("patient" in span.to_json() for span in spans)


def test_without_opentelemetry_its_option_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match="--traces needs opentelemetry-api, which is not"
    ):
        tracing.Traces(True)


def test_without_the_option_there_are_no_spans():
    traces = tracing.Traces(False)
    with traces.request({"traceparent": PARENT}, {}):
        traces.past("decode", 0.0, 1.0)
