"""The event loop on a clock that the test moves."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troupe.core.errors import EngineError, UserError
from troupe.engines.script_engine import ScriptEngine
from troupe.engines.script_settings import ScriptSettings
from troupe.loop.event_loop import EventLoop
from troupe.loop.functions import (
    From,
    IsUpdated,
    Iteration,
    LoopFunction,
    SimulationTime,
    To,
    status,
    transceiver,
)
from troupe.loop.graph import Graph
from troupe.loop.graph_run import GraphRun
from troupe.loop.nodes import NodeFunction, Out, Previous, node
from troupe.loop.pacing import Pacing
from troupe.loop.recording import Recorder
from troupe.loop.schedule import Timing
from troupe.loop.settings import RecordSettings

MS = 1_000_000
STEP = 10 * MS

CART = """
from troupe.engines.script import Script, pack

class Cart(Script):
    inputs = {"force": pack(unit="N")}
    outputs = {"steps": pack(dtype=int), "time": pack(unit="ns", dtype=int), "got": pack()}

    def step(self, duration_ns):
        self.steps += 1
        self.time += duration_ns
        self.got = self.force
"""


class FakeTime:
    """A clock that moves when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now_ns = 12345
        self.slept_ms: list[float] = []

    def clock_ns(self) -> int:
        return self.now_ns

    def sleep(self, duration_s: float) -> None:
        self.slept_ms.append(round(duration_s * 1e3, 6))
        self.now_ns += round(duration_s * 1e9)


class Elsewhere(ScriptEngine):
    """A script that advances elsewhere, by the test's clock: ready after some real time."""

    def take(self, clock: FakeTime, work_ms: Iterable[float]) -> "Elsewhere":
        self.clock, self.work_ms = clock, iter(work_ms)
        self.begun: int | None = None
        self.done_ns = 0
        return self

    def begin(self, duration_ns: int) -> None:
        assert self.begun is None
        self.begun = duration_ns
        self.done_ns = self.clock.now_ns + round(next(self.work_ms, 0.0) * MS)

    def poll(self) -> bool:
        return self.clock.now_ns >= self.done_ns

    def finish(self) -> None:
        assert self.begun is not None
        duration_ns, self.begun = self.begun, None
        self.clock.now_ns = max(self.clock.now_ns, self.done_ns)
        self.advance(duration_ns)


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def settings(tmp_path: Path) -> ScriptSettings:
    (tmp_path / "cart.py").write_text(CART)
    return ScriptSettings(file=tmp_path / "cart.py")


LoopOf = Callable[..., EventLoop]


@pytest.fixture
def loop_of(clock: FakeTime, settings: ScriptSettings) -> LoopOf:
    """Return what makes a loop of a cart here, and of one elsewhere that works so long."""

    def make(
        *functions: LoopFunction, work_ms: Iterable[float] | None = None, **more: Any
    ) -> EventLoop:
        engines: dict[str, ScriptEngine] = {"cart": settings.build("cart", 1, 1)}
        if work_ms is not None:
            engines["far"] = Elsewhere(settings, "far", 1).take(clock, work_ms)
        nodes = [f for f in functions if isinstance(f, NodeFunction)]
        loop = EventLoop(
            engines,
            STEP,
            functions=[f for f in functions if f not in nodes],
            graph=GraphRun(Graph(nodes), engines),
            pacing=Pacing(1.0, clock.clock_ns, clock.sleep),
            **more,
        )
        begin(loop)
        return loop

    return make


def begin(loop: EventLoop) -> None:
    loop.reset([0])
    loop.refresh()


def works(clock: FakeTime, *work_ms: float) -> NodeFunction:
    """Return a node that takes some real time at each tick."""
    rest = iter(work_ms)

    @node(runs="always")
    def work() -> None:
        clock.now_ns += round(next(rest, 0.0) * MS)

    return work


def test_deadlines_are_counted_from_one_start(loop_of: LoopOf, clock: FakeTime) -> None:
    start_ns = clock.now_ns
    loop = loop_of(works(clock, 3.0, 0.25, 9.999))
    loop.advance_to(5 * STEP)
    # what work takes is not added: each tick is at its multiple of the step
    assert clock.slept_ms == [7.0, 9.75, 0.001, 10.0, 10.0]
    assert clock.now_ns - start_ns == 5 * STEP
    assert (loop.now_ns, loop.iteration) == (5 * STEP, 5)
    assert loop.world.read("cart.time").tolist() == [5 * STEP]


def test_a_late_loop_catches_up_and_warns_once(
    loop_of: LoopOf, clock: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    start_ns = clock.now_ns
    loop = loop_of(works(clock, 35.0, 1.0, 1.0))
    with caplog.at_level(logging.WARNING):
        loop.advance_to(6 * STEP)
    assert clock.slept_ms == [3.0, 10.0, 10.0]
    assert clock.now_ns - start_ns == 6 * STEP
    statistics = loop.statistics()
    assert (statistics["deadlines"], statistics["missed"]) == (7, 3)
    assert statistics["late_ms_max"] == 25.0
    assert [r.getMessage() for r in caplog.records] == [
        "the loop is late at 10ms; from now on this is only counted"
    ]


def test_the_first_deadline_is_when_the_run_begins_not_when_it_was_prepared(
    loop_of: LoopOf, clock: FakeTime
) -> None:
    loop = loop_of(works(clock))
    loop.synchronise()
    clock.now_ns += 1000 * MS
    loop.advance_to(2 * STEP)
    assert loop.statistics()["missed"] == 0
    assert clock.slept_ms == [10.0, 10.0]


def test_an_engine_that_is_late_is_not_waited_for(
    loop_of: LoopOf, clock: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    @transceiver
    def at_its_ticks(steps: From("far.steps"), i: Iteration) -> To("cart.force"):
        return float(i)

    @node(runs="always")
    def look(
        i: Iteration, steps: From("far.steps"), got: From("far.got"), new: IsUpdated("far.steps")
    ) -> To("far.force"):
        seen.append((int(steps[0]), float(got[0]), new))
        return 100.0 + i

    start_ns = clock.now_ns
    loop = loop_of(at_its_ticks, look, work_ms=[5, 25, 5])
    loop.advance_to(6 * STEP)
    loop.synchronise()
    assert clock.now_ns - start_ns == 6 * STEP
    assert seen == [
        (0, 0.0, True),
        (1, 100.0, True),
        (1, 100.0, False),  # begun at 10 ms, done at 35 ms
        (1, 100.0, False),
        (2, 101.0, True),
        (3, 104.0, True),  # what it was sent meanwhile waited: the newest counts
        (4, 105.0, True),
    ]
    # functions that it triggers did not run meanwhile
    assert loop.world.read("cart.got").tolist() == [5.0]
    assert loop.statistics()["engines"] == {"far": {"late": 2, "behind_ms": 20.0}}
    assert loop.statistics()["missed"] == 0
    assert [r.getMessage() for r in caplog.records] == [
        "engine 'far' is late at 20ms; from now on this is only counted"
    ]


def test_engines_that_a_late_loop_started_late_have_their_time(
    loop_of: LoopOf, clock: FakeTime
) -> None:
    start_ns = clock.now_ns
    loop = loop_of(works(clock, 35.0), work_ms=[8] * 30)
    loop.advance_to(25 * STEP)
    assert loop.world.read("far.steps").tolist() == [25]
    assert loop.statistics()["engines"]["far"]["late"] == 0
    # the engine leaves 2 ms of each step to catch up
    assert clock.now_ns - start_ns == 25 * STEP
    assert 10 < loop.statistics()["missed"] < 20


def test_work_of_nodes_gives_engines_no_more_time(loop_of: LoopOf, clock: FakeTime) -> None:
    start_ns = clock.now_ns
    loop = loop_of(works(clock, *[3.0] * 20), work_ms=[8] * 20)
    loop.advance_to(20 * STEP)
    assert clock.now_ns - start_ns == 20 * STEP
    assert loop.statistics()["engines"]["far"]["late"] == 10
    assert loop.statistics()["missed"] == 0


def test_functions_of_an_engine_run_only_when_it_is_done(loop_of: LoopOf) -> None:
    runs = []

    @transceiver
    def follow(steps: From("far.steps"), t: SimulationTime) -> To("cart.force"):
        runs.append(t // MS)
        return 0.0

    loop_of(follow, work_ms=[5, 25, 5]).advance_to(6 * STEP)
    assert runs == [0, 10, 40, 50]


def test_an_engine_may_synchronise_at_some_ticks_only(loop_of: LoopOf) -> None:
    seen = []

    @node(runs="always")
    def look(here: From("cart.time"), far: From("far.time")) -> None:
        seen.append((int(here[0]) // MS, int(far[0]) // MS))

    timings = {"cart": Timing(2 * STEP), "far": Timing(3 * STEP, STEP)}
    loop_of(look, work_ms=[], timings=timings).advance_to(8 * STEP)
    # the future of an engine of this process does not show before it is due
    assert seen == [(0, 0), (0, 10), (20, 10), (20, 10), (40, 40), (40, 40), (60, 40), (60, 70)]


def test_an_engine_must_fit_the_step(loop_of: LoopOf) -> None:
    with pytest.raises(UserError, match=r"engines\.cart\.sync: 15ms is not a multiple of loop\.st"):
        loop_of(timings={"cart": Timing(15 * MS)})


def test_a_reset_returns_counts_messages_and_engines_to_the_start(
    loop_of: LoopOf, clock: FakeTime
) -> None:
    seen = []

    @node(runs="always")
    def count(
        i: Iteration, t: SimulationTime, before: Previous("n"), far: From("far.steps")
    ) -> Out("n"):
        seen.append((i, t // MS, float(before[0]), int(far[0])))
        return before + 1

    loop = loop_of(count, work_ms=[5, 25, 25, 5])
    loop.advance_to(3 * STEP)
    first = list(seen)
    assert first == [(0, 0, 0.0, 0), (1, 10, 1.0, 1), (2, 20, 2.0, 1)]
    begin(loop)  # the engine is still running
    assert (loop.now_ns, loop.iteration) == (0, 0)
    loop.advance_to(STEP)
    loop.reset([0])
    loop.refresh()
    seen.clear()
    loop.advance_to(3 * STEP)
    assert seen == [(0, 0, 0.0, 0), (1, 10, 1.0, 1), (2, 20, 2.0, 2)]
    statistics = loop.statistics()
    assert (statistics["deadlines"], statistics["missed"]) == (4, 0)
    assert statistics["engines"]["far"]["late"] == 0


def test_the_status_function_ends_the_run_without_another_step(loop_of: LoopOf) -> None:
    @status
    def done(t: SimulationTime) -> bool:
        return t >= 3 * STEP

    loop = loop_of(done)
    assert loop.wiring.has_status
    assert loop.advance_to(2 * STEP) is False
    assert loop.advance_to(10 * STEP) is True
    assert loop.now_ns == 3 * STEP
    assert loop.world.read("cart.steps").tolist() == [3]


def test_a_recorder_keeps_only_what_is_new(loop_of: LoopOf) -> None:
    class Samples(list[tuple[str, int, int]]):
        def add(self, pack: str, time_ns: int, value: np.ndarray) -> None:
            self.append((pack, time_ns // MS, int(value[0])))

    samples = Samples()
    loop = loop_of(work_ms=[5, 25, 5])
    record = RecordSettings(packs=("cart.steps", "far.steps"))
    loop.observers.append(Recorder(loop, record, samples))  # type: ignore[arg-type]
    loop.advance_to(5 * STEP)
    assert [s for s in samples if s[0] == "far.steps"] == [
        ("far.steps", 0, 0),
        ("far.steps", 10, 1),
        ("far.steps", 40, 2),
    ]
    assert [s[1:] for s in samples if s[0] == "cart.steps"] == [(10 * i, i) for i in range(5)]


def test_an_engine_that_fails_ends_the_run(
    loop_of: LoopOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = loop_of(work_ms=[])

    def fail() -> None:
        raise EngineError("far: it crashed")

    monkeypatch.setattr(loop.engines["far"], "finish", fail)
    with pytest.raises(EngineError, match="crashed"):
        loop.advance_to(2 * STEP)


def test_closing_the_loop_closes_engines(loop_of: LoopOf, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    loop = loop_of()
    monkeypatch.setattr(loop.engines["cart"], "close", lambda: closed.append("cart"))
    loop.close()
    assert closed == ["cart"]
