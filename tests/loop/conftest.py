from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from troupe.core.settings import validated
from troupe.engines.script_settings import ScriptSettings
from troupe.loop import FixedStepLoop
from troupe.loop.functions import LoopFunction
from troupe.loop.schedule import Timing
from troupe.loop.settings import ConnectionEntry

MS = 1_000_000

# counts its steps and time, and keeps what it was given
COUNTER = """
from troupe.engines.script import Script, pack

class Counter(Script):
    inputs = {"given": pack(unit="V"), "vector": pack(2)}
    outputs = {
        "steps": pack(), "time_ms": pack(unit="ms"), "echo": pack(unit="V"), "num_given": pack(),
        "pair": pack(2),
    }
    state = ()

    def step(self, duration_ns):
        self.steps += 1
        self.time_ms += duration_ns / 1e6
        self.echo = self.given
        self.pair = self.vector
"""

MakeLoop = Callable[..., FixedStepLoop]


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    """Return the file of an engine that counts its steps and shows what it was given."""
    path = tmp_path / "counter.py"
    path.write_text(COUNTER)
    return path


@pytest.fixture
def make_loop(counter: Path) -> MakeLoop:
    """Return what makes a loop of counters that was reset."""

    def make(
        *functions: LoopFunction,
        engines: Sequence[str] = ("a", "b"),
        sync_ms: Mapping[str, float] | None = None,
        phase_ms: Mapping[str, float] | None = None,
        connections: Sequence[Mapping[str, Any]] = (),
        num_instances: int = 1,
        seeds: Sequence[int] | None = None,
    ) -> FixedStepLoop:
        settings = validated(ScriptSettings, {"type": "script", "file": counter})
        sync, phase = sync_ms or {}, phase_ms or {}
        timings = {
            name: Timing(round(sync.get(name, 10) * MS), round(phase.get(name, 0) * MS))
            for name in engines
        }
        loop = FixedStepLoop(
            {name: settings.build(name, num_instances, 1) for name in engines},
            10 * MS,
            timings=timings,
            functions=functions,
            connections=[validated(ConnectionEntry, entry) for entry in connections],
        )
        loop.reset(range(num_instances) if seeds is None else seeds)
        loop.refresh()
        return loop

    return make
