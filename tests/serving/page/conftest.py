"""A stand-in for an export, and a scripted TensorFlow Serving."""

import http.server
import io
import json
import socketserver
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from usgland.serving.interface.versions import MODEL_SHEET
from usgland.serving.server.front import front_of
from usgland.serving.server.server_options import ServerOptions

FORM = [
    {
        **{"column": "age_years", "kind": "number", "role": "demographic"},
        **{"words": [], "unit": "years", "low": 1, "high": 110},
    },
    {
        **{"column": "bmi_kg_m2", "kind": "number", "role": "demographic"},
        **{"words": [], "unit": "kg/m2", "low": 10, "high": 80},
    },
    {
        **{"column": "smoking", "kind": "yes_no", "role": "demographic"},
        **{"words": ["yes", "no"], "unit": None, "low": None, "high": None},
    },
    {
        **{"column": "margin", "kind": "category", "role": "image_read"},
        **{"words": ["clear", "unclear"], "unit": None, "low": None, "high": None},
    },
]
SHEET_CONTENT = {
    "name": "standin",
    "version": 1,
    "created": "2026-03-04T05:06:07+00:00",
    "usgland": "0.1.0",
    "tensorflow": "2.21.0",
    "inputs": "both",
    "labels": ["benign", "malignant"],
    "operating_point": {"probability": 0.42, "rule": "Youden's index on validation"},
    "form": FORM,
    "trained_on": {
        "source": "phantoms v1, seed 0",
        "synthetic": True,
        "patients": {"train": 72, "val": 18, "test": 30},
        "images": {"train": 144, "val": 36, "test": 60},
        "malignant_patients": {"train": 24, "val": 6, "test": 10},
    },
    "test": {
        "patients": 30,
        "roc_auc": {"value": 0.912, "low": 0.831, "high": 0.957, "level": 0.95},
        "sensitivity": {"value": 0.9, "low": 0.596, "high": 0.982, "level": 0.95},
        "specificity": {"value": 1.0, "low": None, "high": None, "level": 0.95},
    },
}


class StandIn(tf.Module):
    """Has the signatures of an export; its logit is easy to compute by hand.

    (mean grey - 128) / 64, + (age - 50) / 20, + 1 for an unclear margin, - 0.5 for a
    clear one; what is not known adds nothing, as a BMI or smoking does.
    """

    def __init__(self):
        super().__init__()
        text = tf.TensorSpec([None], tf.string)
        number = tf.TensorSpec([None], tf.float32)
        form = {
            "age_years": number,
            "bmi_kg_m2": number,
            "smoking": text,
            "margin": text,
        }

        def named(function, specs):
            named = [
                tf.TensorSpec(spec.shape, spec.dtype, name=name)
                for name, spec in specs.items()
            ]
            return tf.function(function, input_signature=named)

        specs = {"image_bytes": text, **form}
        self.exports = {
            "serving_default": named(self.default, specs),
            "image_only": named(self.image_only, {"image_bytes": text}),
            "explain": named(self.explain, specs),
        }

    def image_logit(self, image_bytes):
        def decode(content):
            if tf.strings.length(content) == 0:
                return 0.0
            image = tf.io.decode_image(content, expand_animations=False)
            return (tf.reduce_mean(tf.cast(image, tf.float32)) - 128) / 64

        return tf.map_fn(decode, image_bytes, fn_output_signature=tf.float32)

    def answer(self, logit):
        return {
            "probability": tf.sigmoid(logit),
            "logit": logit,
            "label": tf.where(tf.sigmoid(logit) >= 0.42, "malignant", "benign"),
            "model_version": tf.fill(tf.shape(logit), "standin/1"),
        }

    def terms(self, age_years, bmi_kg_m2, smoking, margin):
        older = tf.where(tf.math.is_nan(age_years), 0.0, (age_years - 50) / 20)
        unclear = tf.where(margin == "unclear", 1.0, 0.0)
        nothing = tf.zeros_like(older)
        return {
            "age_years": older,
            "bmi_kg_m2": nothing,
            "smoking": nothing,
            "margin": tf.where(margin == "clear", -0.5, unclear),
        }

    def default(self, image_bytes, age_years, bmi_kg_m2, smoking, margin):
        terms = self.terms(age_years, bmi_kg_m2, smoking, margin)
        logit = self.image_logit(image_bytes) + tf.add_n(list(terms.values()))
        return self.answer(logit)

    def image_only(self, image_bytes):
        return self.answer(self.image_logit(image_bytes))

    def explain(self, image_bytes, age_years, bmi_kg_m2, smoking, margin):
        terms = self.terms(age_years, bmi_kg_m2, smoking, margin)
        contributions = {f"contribution_{name}": value for name, value in terms.items()}

        def heatmap(content):
            if tf.strings.length(content) == 0:
                return ""
            image = tf.io.decode_image(content, expand_animations=False)
            size = tf.shape(image)
            row = tf.cast(tf.linspace(0.0, 255.0, size[1]), tf.uint8)
            return tf.io.encode_png(tf.tile(row[None, :, None], [size[0], 1, 1]))

        maps = tf.map_fn(heatmap, image_bytes, fn_output_signature=tf.string)
        answer = self.default(image_bytes, age_years, bmi_kg_m2, smoking, margin)
        lesions = self.lesions(image_bytes)
        return {**answer, **contributions, **lesions, "heatmap_bytes": maps}

    def lesions(self, image_bytes):
        """Where `picture` has something to see; none in a dark image."""
        found = tf.where(self.image_logit(image_bytes) > -0.5, 0.925, 0.25)
        box = tf.constant([[30.0, 22.0, 30.0, 23.0]])
        shown = tf.cast(found >= 0.5, tf.float32)[:, None] * box
        return {"lesion_box": shown, "lesion_found": found}


def write_sheet(version_folder, content):
    path = version_folder / MODEL_SHEET
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def picture(grey, size=(90, 120), kind="png"):
    """An image file of a mean grey level that is exact, with something to see."""
    pixels = np.full(size, grey, np.uint8)
    middle = (slice(size[0] // 4, size[0] // 2), slice(size[1] // 4, size[1] // 2))
    pixels[middle] = grey - 20
    pixels[middle][:, ::2] = grey + 20
    buffer = io.BytesIO()
    # TensorFlow reads a BMP only in colour.
    image = Image.fromarray(pixels).convert("RGB" if kind == "bmp" else "L")
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def page_models(tmp_path_factory):
    """`standin/1` with a model sheet, and `older/1` without one."""
    folder = tmp_path_factory.mktemp("page_models")
    module = StandIn()
    version = folder / "standin" / "1"
    tf.saved_model.save(module, str(version), module.exports)
    write_sheet(version, SHEET_CONTENT)
    default = module.exports["serving_default"]
    tf.saved_model.save(module, str(folder / "older" / "1"), default)
    return folder


@pytest.fixture(scope="session")
def page_server(page_models, serving):
    options = ServerOptions(page_models, page=True, poll_seconds=0.05)
    with serving.RunningServer(options) as running:
        yield running


class Upstream(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Stands for a TensorFlow Serving and answers what a test tells it to.

    `script` maps the end of a path, `metadata` or `predict`, to a status and a body; a
    body may be an event, on which the answer waits.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script, self.asked = {}, []

    def handle_error(self, *_):
        """A browser that gives a request up is no error, and prints none."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.asked.append((self.command, self.path, body))
        self.server.headers = dict(self.headers)
        end = self.path.replace(":", "/").rpartition("/")[2]
        status, answer = self.server.script.get(end, (404, {"error": "no such path"}))
        if isinstance(answer, threading.Event):
            answer.wait(30)
            answer = {"error": "late"}
        text = answer if isinstance(answer, str) else json.dumps(answer)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        # A test asks for gzip alone; a browser, which takes others, would unpack it.
        if self.headers.get("accept-encoding") == "gzip":
            self.send_header("content-encoding", "gzip")
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def upstream(page_models, serving, page_server):
    """A scripted TensorFlow Serving of `standin/1`, with the page before it."""
    server = Upstream()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = "/v1/models/standin/versions/1/metadata"
    server.script["metadata"] = page_server.client.get(path)
    options = ServerOptions(page_models, rest_port=serving.free_port(), page=True)
    with front_of(options, server.server_address[1]):
        server.url = options.url(options.rest_port)
        server.client = serving.Client(options.rest_port)
        yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def shared_browser(chromium):
    return chromium()


@pytest.fixture
def browser(shared_browser):
    """The browser that tests share one after another, with an empty log."""
    shared_browser.get("about:blank")
    for kind in ("performance", "browser"):
        shared_browser.get_log(kind)
    yield shared_browser
    shared_browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture(scope="session")
def stand_in():
    """The names above, as test files cannot import one another."""
    return SimpleNamespace(
        SHEET=SHEET_CONTENT, write_sheet=write_sheet, picture=picture
    )
