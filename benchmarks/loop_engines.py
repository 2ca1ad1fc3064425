"""Engines for the benchmark of the loop: one that does nothing, here and behind JSON over HTTP."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec, Ids
from troupe.engines.base import EngineSpec, Fault
from troupe.engines.script import Script, pack

NUM_VALUES = 3


class Nothing(Script):
    """Takes three numbers and gives three others."""

    inputs = {"given": pack(NUM_VALUES)}
    outputs = {"value": pack(NUM_VALUES)}
    state = ()

    def step(self, duration_ns: int) -> None:
        pass


class HttpEngine:
    """An engine whose server speaks JSON over HTTP, a request for each call, as NRP-core's do.

    One connection stays open. ``/set_datapacks``, ``/run_loop`` and ``/get_datapacks`` are three
    requests a step.
    """

    def __init__(self, name: str) -> None:
        command = [sys.executable, "-m", "benchmarks.loop_engines"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", int(self._process.stdout.readline())
        )
        self._name = name
        self._value = np.zeros((1, NUM_VALUES))
        spec = ArraySpec((NUM_VALUES,))
        self.spec = EngineSpec(
            name, Fraction(1), 1, {"given": spec}, {"value": spec}, can_snapshot=False
        )
        self._call("initialize", {})

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        self._call("reset", {})

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        data = np.asarray(value)[0].tolist()
        message = {pack: {"engine_name": self._name, "type": "json", "data": data}}
        self._call("set_datapacks", message)

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        if duration_ns:
            self._call("run_loop", {"time_step": duration_ns})
        packs = self._call("get_datapacks", {"value": {"engine_name": self._name}})
        self._value[0] = packs["value"]["data"]

    def read(self, pack: str) -> npt.NDArray[Any]:
        return self._value

    def faults(self) -> Sequence[Fault]:
        return ()

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        raise NotImplementedError

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.wait()

    def _call(self, path: str, message: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", f"/{path}", json.dumps(message), headers)
        return json.loads(self._connection.getresponse().read())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    given: Any = None

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer: Any = {}
        if self.path == "/set_datapacks":
            type(self).given = message
        elif self.path == "/get_datapacks":
            answer = {name: {"data": [0.0] * NUM_VALUES} for name in message}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve() -> None:
    """Serve on a free port, which is printed, until the process ends."""
    _Handler.wbufsize = -1  # one packet for an answer
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve()
