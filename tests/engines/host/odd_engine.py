"""An engine that does odd things when it is told to; its process imports it from here."""

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from troupe.core.arrays import ArraySpec, Ids
from troupe.core.errors import EngineError, UserError
from troupe.engines.base import EngineSettings, EngineSpec, Fault

OBJECT = np.dtype(object)


class OddSettings(EngineSettings):
    type: Literal["odd"] = "odd"
    refuse: bool = False
    crash: bool = False
    with_program: bool = False
    close_hangs: bool = False

    def build(self, name: str, num_instances: int, num_threads: int) -> "OddEngine":
        if self.refuse:
            raise UserError(f"engines.{name}.refuse: 'True' is refused.")
        if self.crash:
            raise ZeroDivisionError("at the start")
        return OddEngine(self, name, num_instances, num_threads)


class OddEngine:
    """`seen` shows the command of the last advance; what it is told in `order` happens there."""

    def __init__(self, settings: OddSettings, name: str, num_instances: int, threads: int) -> None:
        self._settings = settings
        self._threads = threads
        self.spec = EngineSpec(
            name=name,
            timestep_ns=Fraction(10**9, 240),
            num_instances=num_instances,
            inputs={
                "command": ArraySpec(
                    (3,), "N", low=np.array([-1.0, -np.inf, 0.1]), names=("x", "y", "z")
                ),
                "alias": ArraySpec((3,)),
                "choice": ArraySpec((), dtype=np.dtype(np.int32), categories=4),
                "order": ArraySpec((), dtype=OBJECT),
            },
            outputs={
                "seen": ArraySpec((3,), "N"),
                "choice": ArraySpec((), dtype=np.dtype(np.int32), categories=4),
                "answer": ArraySpec((), dtype=OBJECT),
                "pids": ArraySpec((2,), dtype=np.dtype(np.int64)),
                "pictures": ArraySpec((), dtype=np.dtype(np.int64)),
            },
            rendered=("pictures",),
            can_reset_some=False,
            releases_gil=True,
        )
        self._program = subprocess.Popen(["sleep", "1000"]) if settings.with_program else None
        self._command = np.zeros((num_instances, 3))
        self._choice = np.zeros(num_instances, np.int32)
        self._order: Any = None
        self._answer = np.full(num_instances, None, OBJECT)
        self._seen = np.zeros((num_instances, 3))
        self._faults: list[Fault] = []
        self._num_writes = self._num_pictures = 0

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        rows = slice(None) if instances is None else instances
        self._command[rows] = 0
        self._seen[rows] = np.array(list(seeds), np.float64)[:, None]

    def write(self, pack: str, value: Any, instances: Ids | None = None) -> None:
        rows = slice(None) if instances is None else instances
        self._num_writes += 1
        if pack in ("command", "alias"):
            self._command[rows] = value
        elif pack == "choice":
            self._choice[rows] = value
        else:
            self._order = value

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        self._faults = []
        rows = slice(None) if instances is None else instances
        self._seen[rows] = self._command[rows]
        order, self._order = self._order, None
        if isinstance(order, dict):
            self._obey(**order)

    def _obey(self, do: str, value: Any = None) -> None:
        if do == "say":
            for i in range(self.spec.num_instances):
                self._answer[i] = {"value": value, "instance": i, "array": np.arange(2)}
        if do == "count":
            self._answer[:] = self._num_writes
        if do == "modules":
            self._answer[:] = sum(m in sys.modules for m in ("jax", "ray", "typer", "grpc"))
        if do == "threads":
            self._answer[:] = self._threads
        if do == "print":
            print(value, flush=True)
        if do == "fail":
            raise KeyError(value)
        if do == "user-error":
            raise UserError(value)
        if do == "engine-error":
            raise EngineError(value)
        if do == "exit":
            sys.exit(value)
        if do == "segfault":
            print("about to crash", flush=True)
            ctypes.string_at(0)
        if do == "sleep":
            time.sleep(value)
        if do == "hang":  # with Python's lock, as a simulator may
            ctypes.PyDLL(None).sleep(1000)
        if do == "fault":
            self._faults = [Fault(1, "odd", {"state": np.array([1.5, np.inf])})]
        if do == "unspeakable":
            self._answer[0] = {1, 2}

    def read(self, pack: str) -> Any:
        if pack == "pictures":
            self._num_pictures += 1
            return np.full(self.spec.num_instances, self._num_pictures)
        if pack == "pids":
            program = self._program.pid if self._program else 0
            return np.tile([os.getpid(), program], (self.spec.num_instances, 1))
        return {"seen": self._seen, "choice": self._choice, "answer": self._answer}[pack]

    def faults(self) -> Sequence[Fault]:
        return self._faults

    def snapshot(self) -> dict[str, Any]:
        kinds = np.dtype([("a", "<i4"), ("b", "<f8", (2,))])
        n = self.spec.num_instances
        return {
            "command": self._command.copy(),
            "structured": np.ones(n, kinds),
            "text": np.array(["é"] * n),
            "empty": np.zeros((n, 0)),
            "answer": self._answer.copy(),
        }

    def restore(self, snapshot: Mapping[str, Any], instances: Ids | None = None) -> None:
        rows = slice(None) if instances is None else instances
        self._command[rows] = self._seen[rows] = snapshot["command"][rows]

    def close(self) -> None:
        if self._settings.close_hangs:
            time.sleep(1000)
        if self._program is not None:
            self._program.terminate()
            self._program.wait()
