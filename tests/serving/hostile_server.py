"""A server in a process of its own, and a client beside whom others misbehave."""

import contextlib
import http.client
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

ROOT = Path(__file__).parents[2]
SERVE = "from usgland.cli.main import cli; cli()"
DESCRIPTORS = 256
MODEL = "mine"
# A request of the good client may take so long, or on a machine that is busy with other
# things so many times what it took before anyone misbehaved. A quiet one can be held to
# less: GOOD_CLIENT_SECONDS=1.
LONGEST_SECONDS = float(os.environ.get("GOOD_CLIENT_SECONDS", "15"))
LONGEST_TIMES = 20


class Server:
    """`usgland serve --builtin` of the models in a folder."""

    def __init__(self, models_dir, log, *arguments):
        self.log = log
        self._log = log.open("wb")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.rest_port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", SERVE, "serve", "--builtin"),
                *("--models-dir", str(models_dir), "--rest-port", str(self.rest_port)),
                *("--grpc-port", "0", *arguments),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            preexec_fn=_few_descriptors,
            env={**os.environ, "MALLOC_ARENA_MAX": "2"},
        )
        for line in self.process.stdout:
            if line.startswith("gRPC"):
                self.grpc_port = int(line.rpartition(":")[2])
            if line.startswith("Stop with"):
                break

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self._log.close()

    def memory(self):
        """Megabytes in memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def post(self, body, headers=(), timeout=60, path=f"/v1/models/{MODEL}:predict"):
        """Status and JSON of an answer, over a connection of its own."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.rest_port, timeout=timeout
        )
        with contextlib.closing(connection):
            connection.request("POST", path, body, dict(headers))
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    @contextlib.contextmanager
    def stub(self):
        options = [("grpc.max_send_message_length", -1)]
        address = f"127.0.0.1:{self.grpc_port}"
        with grpc.insecure_channel(address, options=options) as channel:
            yield prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def grpc_code(self, signature, timeout=60, outputs=(), **protos):
        """The name of the status of a call."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = MODEL
        request.model_spec.signature_name = signature
        request.output_filter.extend(outputs)
        for name, proto in protos.items():
            request.inputs[name].CopyFrom(proto)
        with self.stub() as stub:
            try:
                stub.Predict(request, timeout=timeout)
            except grpc.RpcError as error:
                return error.code().name
        return "OK"


def _few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


class GoodClient:
    """Asks the same ten times a second, over new connections, while a block runs.

    When the block ends every answer must have been right, and none late.
    """

    def __init__(self, server, body):
        self.server, self.body = server, body
        self.answers = []
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._ask_on)
        status, self.right = server.post(body)
        assert status == 200
        usual = statistics.median(self._ask()[0] for _ in range(5))
        self.longest = max(LONGEST_SECONDS, LONGEST_TIMES * usual)

    def _ask(self):
        start = time.monotonic()
        try:
            status, answer = self.server.post(self.body)
        except (OSError, http.client.HTTPException) as error:
            status, answer = type(error).__name__, None
        return time.monotonic() - start, status, answer

    def _ask_on(self):
        while not self.end.wait(0.1):
            self.answers.append(self._ask())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.end.set()
        self.thread.join()
        if kind is None:
            assert len(self.answers) > 1
            wrong = [
                answer for answer in self.answers if answer[1:] != (200, self.right)
            ]
            assert not wrong, wrong[:3]
            assert max(seconds for seconds, _, _ in self.answers) < self.longest
