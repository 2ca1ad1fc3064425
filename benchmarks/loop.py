"""What a closed loop costs beside its engines, and what lockstep saves.

Two engines that do nothing, one transceiver function each way: in this process, each in a process
of its own, over gRPC on loopback, and behind JSON over HTTP as NRP-core's engines are. Then the
vehicle with its spiking brain: how much of the time is neither MuJoCo nor NEST; and 64 of them in
lockstep beside 64 runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import (
    Options,
    Spread,
    Table,
    in_turn,
    short,
    troupe,
    write_result,
)
from benchmarks.loop_engines import HttpEngine, Nothing
from troupe.core.settings import validated
from troupe.engines.base import Engine
from troupe.engines.host import open_engine
from troupe.engines.script_settings import ScriptSettings
from troupe.experiments.build import build_loop
from troupe.experiments.load import load_experiment
from troupe.fleet.closed_loop import begin
from troupe.loop import FixedStepLoop, From, To, transceiver

PARTS = ("overhead", "share", "lockstep")
STEP_NS = 1_000_000
MUST_US = {
    "in this process": (15, 5),
    "a process each, shared memory": (100, 30),
    "gRPC on loopback": (1000, 300),
    "JSON over HTTP": None,
}


def run(options: Options) -> None:
    """Measure the parts that were asked for and write the result."""
    tables, measured = [], {}
    for part in options.parts(PARTS, PARTS):
        table, figures = {"overhead": overhead, "share": share, "lockstep": lockstep}[part](options)
        print(table)
        tables.append(table)
        measured[part] = figures
    write_result("loop", options, tables, measured=measured)


@transceiver
def there(value: From("a.value")) -> To("b.given"):
    return value


@transceiver
def back(value: From("b.value")) -> To("a.given"):
    return value


def overhead(options: Options) -> tuple[Table, Any]:
    """Return what a step costs per engine, one engine's own doing being nothing."""
    rounds = options.choose(15, 2, options.rounds)
    hosts: dict[str, Callable[[], Iterator[FixedStepLoop]]] = {
        "in this process": lambda: looped(lambda name: scripted(name, "here")),
        "a process each, shared memory": lambda: looped(lambda name: scripted(name, "process")),
        "gRPC on loopback": served,
        "JSON over HTTP": lambda: looped(HttpEngine),
    }
    steps = {"in this process": 4000, "a process each, shared memory": 2000}
    ways = {}
    for name, open_loop in hosts.items():
        num_steps = options.choose(steps.get(name, 200), 20)
        ways[name] = _measure(open_loop, num_steps)
    seconds = in_turn(ways, rounds)
    rows = []
    for name, values in seconds.items():
        spread = Spread.of(1e6 * value / 2 for value in values)
        must = MUST_US[name]
        rows.append([name, str(spread), f"≤ {must[0]}, reach for {must[1]}" if must else "–"])
    table = Table(
        f"overhead of a step per engine, two engines that do nothing, {rounds} rounds",
        ["where the engines run", "µs", "must"],
        rows,
    )
    return table, seconds


def _measure(open_loop: Callable[[], Any], num_steps: int) -> Callable[[], float]:
    def measure() -> float:
        with open_loop() as loop:
            for _ in range(num_steps // 10):
                loop.advance()
            began = time.perf_counter()
            for _ in range(num_steps):
                loop.advance()
            return (time.perf_counter() - began) / num_steps

    return measure


@contextmanager
def looped(make: Callable[[str], Engine]) -> Iterator[FixedStepLoop]:
    """Give a loop of two engines, reset."""
    engines = {name: make(name) for name in ("a", "b")}
    loop = FixedStepLoop(engines, STEP_NS, functions=[there, back])
    try:
        loop.reset([0])
        loop.refresh()
        yield loop
    finally:
        loop.close()


def scripted(name: str, host: str) -> Engine:
    """Return the engine that does nothing, somewhere."""
    file = Path(sys.modules[Nothing.__module__].__file__ or "")
    settings = {"file": file, "class_name": "Nothing", "host": host}
    return open_engine(validated(ScriptSettings, settings), name, 1, 1)


@contextmanager
def served() -> Iterator[FixedStepLoop]:
    """Give a loop whose engines run in a server of engines."""
    from troupe.engines.host.grpc_server import EngineService

    service = EngineService("127.0.0.1:0", None, None)
    try:
        with looped(lambda name: scripted(name, service.address)) as loop:
            yield loop
    finally:
        service.stop()


class _Timed:
    """Adds up the time that calls take, the outermost ones."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **keywords: Any) -> Any:
            self._depth += 1
            began = time.perf_counter()
            try:
                return call(*arguments, **keywords)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - began

        return timed


class _TimedCalls:
    """An object some of whose methods are timed."""

    def __init__(self, inner: Any, timed: _Timed, methods: Sequence[str]) -> None:
        self._inner = inner
        for method in methods:
            setattr(self, method, timed.wrap(getattr(inner, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def share(options: Options) -> tuple[Table, Any]:
    """Return the share of the vehicle's wall time that neither MuJoCo nor NEST takes."""
    rounds = options.choose(7, 1, options.rounds)
    counts = options.choose((1, 64), (1,))
    measures = {n: lambda n=n: _share(n, options.choose(500, 20)) for n in counts}
    measured = in_turn(measures, rounds)
    rows = []
    for count, found in measured.items():
        rest = Spread.of(100 * f["rest"] for f in found)
        step = Spread.of(1e3 * f["step_s"] for f in found)
        rows.append([str(count), str(step), str(rest), "≤ 10, reach for 3"])
    table = Table(
        f"vehicle and brain in one process, {rounds} rounds",
        ["instances", "a step of 20 ms, ms", "neither MuJoCo nor NEST, %", "must"],
        rows,
    )
    return table, {str(count): found for count, found in measured.items()}


def _share(num_instances: int, num_steps: int) -> dict[str, float]:
    experiment = load_experiment("vehicles", ["engines.brain.host=here"])
    loop = build_loop(experiment, num_instances, 1)
    vehicle: Any = loop.engines["vehicle"]
    kernel: Any = loop.engines["brain"]._kernel  # type: ignore[attr-defined]
    try:
        begin(loop, 0)
        for _ in range(num_steps // 10):
            loop.advance()
        timed = _Timed()
        for method in ("simulate", "set", "get", "take_events"):
            setattr(kernel, method, timed.wrap(getattr(kernel, method)))
        vehicle.batch = _TimedCalls(vehicle.batch, timed, ["step", "forward"])
        began = time.perf_counter()
        for _ in range(num_steps):
            loop.advance()
        seconds = time.perf_counter() - began
    finally:
        loop.close()
    return {"rest": 1 - timed.seconds / seconds, "step_s": seconds / num_steps}


def lockstep(options: Options) -> tuple[Table, Any]:
    """Return the wall time of 64 vehicles in one run beside as many runs of one."""
    count = options.choose(64, 2)
    duration = options.choose("8s", "1s")
    rounds = options.choose(3, 1, options.rounds)

    def measure(num_instances: int, num_runs: int) -> dict[str, float]:
        began = time.perf_counter()
        loop_s = 0.0
        for i in range(num_runs):
            out = options.out / "loop" / f"vehicles-{num_instances}"
            arguments = ["--instances", str(num_instances), "--duration", duration]
            command = troupe(
                "run",
                "vehicles",
                *arguments,
                "--seed",
                str(i),
                "--out",
                str(out),
                "--force",
                "--json",
            )
            loop_s += command.run()["wall_s"]
        return {"wall_s": time.perf_counter() - began, "loop_s": loop_s}

    ways = {"lockstep": lambda: measure(count, 1), "separate": lambda: measure(1, count)}
    measured = in_turn(ways, rounds)
    rows = []
    for name, key in (("whole commands", "wall_s"), ("stepping only", "loop_s")):
        times = {way: Spread.of(f[key] for f in found) for way, found in measured.items()}
        speed = times["separate"].median / times["lockstep"].median
        row = [name, str(times["lockstep"]), str(times["separate"]), short(speed)]
        rows.append([*row, "≥ 5, reach for 20" if key == "wall_s" else "–"])
    table = Table(
        f"{count} vehicles with brains, {duration} of simulated time, {rounds} rounds",
        ["", "one run, s", f"{count} runs one by one, s", "speed-up", "must"],
        rows,
    )
    return table, measured
