"""The README beside an exported model, with calls and the answers that they get."""

import json
from collections.abc import Mapping
from string import Template
from typing import Any
from urllib.parse import quote

from usgland.serving.export.operator_manifests import GRPC, IMAGE, MODELS, REST
from usgland.serving.export.signatures import DEFAULT, EXPLAIN, IMAGE_ONLY

START = Template("""\
# $name in TensorFlow Serving

Written by `usgland export` with version $number. The next export writes this folder
anew, but for the label `stable`, so keep your other changes elsewhere. TensorFlow
Serving takes no notice of it: only a folder whose name is a number is a version.

| file | what it is |
|---|---|
| `models.config` | which versions are served, and the labels `stable` and `canary` |
| `monitoring.config` | figures for Prometheus |
| `batching.config` | server-side batching, which is off: see below |
| `docker-compose.yaml` | one container, on this machine alone |
| `kubernetes.yaml` | Deployment, Service and autoscaler |
| `request.json`, `explain.json`$picture | a made-up case, no patient's |

## Start

    docker compose up

Or, on one machine without containers, in this folder:

    usgland serve --builtin --models-dir ../.. --model-config-file models.config

On Kubernetes: put the folder of all models on a volume, claim it as `usgland-models`,
then `kubectl apply -f kubernetes.yaml`. Its probes ask for the metadata, which are
there once the model is loaded and warmed up. The image is `$image`;
a later one will do. These two files were parsed and their fields checked; no container
and no cluster has run them.

Whoever reaches the ports may ask, and nothing is encrypted: put both behind what your
network has for that.

## Ask over REST

```bash
curl -s -d @request.json $url:predict
```
```json
$answer
```

`label` is that of the run's operating point. Every answer names the version that gave
it. Digits may differ in the last place.
""")

FORM = """
Every value of the form must be in a request over REST: a number that is missing is
`NaN`, a word `""`. Over gRPC it may be left out.
"""

PICTURE = Template("""
An image file (PNG, JPEG or BMP, at most 16 megapixels), without a form:

```bash
printf '{"signature_name": "image_only", "instances": [{"image_bytes": %s}]}\' \\
  "{\\"b64\\": \\"$$(base64 -w0 example.png)\\"}" | curl -s -d @- $url:predict
```
```json
$answer
```
""")

EXPLAINED = Template("""
Why: $what.

```bash
curl -s -d @explain.json $url:predict > answer.json
python3 -c '
import base64, json
(answer,) = json.load(open("answer.json"))["predictions"]
if "heatmap_bytes" in answer:
    png = base64.b64decode(answer.pop("heatmap_bytes")["b64"])
    open("heatmap.png", "wb").write(png)
print(json.dumps(answer))'
```
```json
$answer
```
""")

REST_OF_IT = Template("""
## Ask over gRPC

```python
import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

request = predict_pb2.PredictRequest()
request.model_spec.name = $quoted
request.model_spec.version_label = "canary"
$inputs
with grpc.insecure_channel("127.0.0.1:$grpc") as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(request, timeout=30)
print(answer.outputs["probability"].float_val[0])
```
```
$probability
```

## Versions

`$url/labels/stable:predict` asks for what `models.config`
calls stable: version $stable now. The label `canary` is version $number. Clients that
ask for `stable` do not get an export before somebody has tried it and let `stable` name
its number in `models.config`, which the containers here read every 30 seconds. To go
back, put the earlier number among the `versions` there and let `stable` name it; its
folder must still be there. Only those versions are served. A request without a label
gets the newest of them.

## Batching is off

TensorFlow Serving can run requests of several clients as one batch. An error ends the
whole batch, so that one corrupt image would fail the requests of others. Who has many
images sends several in one request instead. Where all clients can be trusted to send
whole images:

    --enable_batching --batching_parameters_file=$models/$name/operator/batching.config

## Is it well?

`$url` tells the state of each version, `.../metadata` what it
takes and gives, `http://127.0.0.1:$rest/monitoring/prometheus/metrics` its figures.

A request that cannot be right (no image, more than 16 megapixels, an unknown word) gets
the status 400, `INVALID_ARGUMENT`, and a message that says what was expected.
""")


def readme(
    name: str,
    labels: Mapping[str, int],
    example: Mapping[str, Any],
    answers: Mapping[str, Any],
) -> str:
    """The text.

    Args:
        name: Of the model.
        labels: The version of `stable` and of `canary`, which is the new one.
        example: The row of the made-up case that `serving_default` takes.
        answers: By signature, the row that it answers.
    """
    number = labels["canary"]
    url = f"http://127.0.0.1:{REST}/v1/models/{quote(name)}"
    with_image = IMAGE_ONLY in answers
    form = {key: one for key, one in example.items() if key != "image_bytes"}
    text = START.substitute(
        name=name,
        number=number,
        picture=", `example.png`" if with_image else "",
        image=IMAGE,
        url=url,
        answer=_body(answers[DEFAULT]),
    )
    if form:
        text += FORM
    if with_image:
        text += PICTURE.substitute(url=url, answer=_body(answers[IMAGE_ONLY]))
    what = ["a heat map, the brighter the more it speaks for malignant"] * with_image
    what += ["what each value of the form adds to `logit`"] * bool(form)
    shown = {k: one for k, one in answers[EXPLAIN].items() if k != "heatmap_bytes"}
    text += EXPLAINED.substitute(
        url=url, what="; ".join(what), answer=json.dumps(shown)
    )
    return text + REST_OF_IT.substitute(
        name=name,
        quoted=json.dumps(name),
        number=number,
        stable=labels["stable"],
        url=url,
        models=MODELS,
        grpc=GRPC,
        rest=REST,
        inputs=_inputs(form, with_image=with_image),
        probability=answers[DEFAULT]["probability"],
    )


def _body(row: Mapping[str, Any]) -> str:
    return json.dumps({"predictions": [row]})


def _inputs(form: Mapping[str, Any], *, with_image: bool) -> str:
    """Lines that fill a request of gRPC."""
    lines = []
    if with_image:
        lines += [
            'with open("example.png", "rb") as file:',
            '    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto('
            "[file.read()]))",
        ]
    if form:
        lines += [
            f"form = {json.dumps(form)}",
            "for name, value in form.items():",
            "    request.inputs[name].CopyFrom(tf.make_tensor_proto([value]))",
        ]
    return "\n".join(lines)
