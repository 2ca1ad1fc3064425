from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.loop.conftest import MS, MakeLoop
from troupe.core.errors import UserError
from troupe.core.settings import validated
from troupe.engines.script_settings import ScriptSettings
from troupe.loop import (
    All,
    ConnectionSettings,
    EventLoop,
    FixedStepLoop,
    From,
    IsUpdated,
    SimulationTime,
    To,
    node,
    transceiver,
)
from troupe.loop.functions import LoopFunction
from troupe.loop.graph import Graph
from troupe.loop.graph_run import GraphRun
from troupe.loop.pacing import Pacing
from troupe.loop.schedule import Timing
from troupe.loop.settings import ConnectionEntry

Seen = list[tuple[float, float]]
SLOW_SENSOR = {"from": "a.time_ms", "every": "100ms", "phase": "5ms"}


def watch(seen: Seen, engine: str = "a", pack: str = "a.time_ms") -> LoopFunction:
    """Return a function that keeps what it sees and when, in milliseconds."""

    @transceiver(engine=engine)
    def look(value: From(pack), now: SimulationTime) -> To("b.given"):
        seen.append((now / MS, value[0]))

    return look


def changes(seen: Seen) -> Seen:
    """The times at which a new value was seen, with it."""
    return [at for before, at in pairwise(seen) if at[1] != before[1]]


def test_a_sensor_of_10_hz_with_an_offset_is_sampled_at_its_own_times(make_loop: MakeLoop) -> None:
    seen: Seen = []
    loop = make_loop(watch(seen), sync_ms={"a": 5}, connections=[SLOW_SENSOR])
    loop.advance_to(400 * MS)
    assert len(seen) == 80
    assert seen[0] == (0, 0)  # before the first sample there is nothing
    assert changes(seen) == [(5, 5), (105, 105), (205, 205), (305, 305)]


def test_every_alone_begins_at_the_start(make_loop: MakeLoop) -> None:
    seen: Seen = []
    connections = [{"from": "a.time_ms", "every": "30ms"}]
    make_loop(watch(seen), connections=connections).advance_to(80 * MS)
    assert [value for _, value in seen] == [0, 0, 0, 30, 30, 30, 60, 60]


def test_a_phase_alone_shifts_within_the_sync_for_readers_that_look_then(
    make_loop: MakeLoop,
) -> None:
    seen: Seen = []
    connections = [{"from": "a.time_ms", "phase": "15ms"}]
    loop = make_loop(watch(seen, "b"), sync_ms={"a": 20, "b": 5}, connections=connections)
    loop.advance_to(80 * MS)
    assert changes(seen) == [(35, 20), (55, 40), (75, 60)]


def test_a_sample_is_of_its_own_time_also_for_readers_that_look_later(make_loop: MakeLoop) -> None:
    seen: Seen = []
    connections = [{"from": "a.time_ms", "every": "30ms", "phase": "10ms"}]
    loop = make_loop(watch(seen, "b"), sync_ms={"a": 5, "b": 25}, connections=connections)
    loop.advance_to(126 * MS)
    assert seen == [(0, 0), (25, 10), (50, 40), (75, 70), (100, 100), (125, 100)]


def test_samples_are_delayed_and_lost_like_messages(make_loop: MakeLoop) -> None:
    seen: Seen = []
    loop = make_loop(watch(seen), sync_ms={"a": 5}, connections=[SLOW_SENSOR | {"delay": "20ms"}])
    loop.advance_to(300 * MS)
    assert changes(seen) == [(25, 5), (125, 105), (225, 205)]
    seen.clear()
    loop = make_loop(watch(seen), sync_ms={"a": 5}, connections=[SLOW_SENSOR | {"dropout": 0.5}])
    loop.advance_to(4000 * MS)
    came = changes(seen)
    assert all(now == value and now % 100 == 5 for now, value in came)
    assert 10 < len(came) < 30


def test_the_engines_own_phase_counts(make_loop: MakeLoop) -> None:
    seen: Seen = []
    connections = [{"from": "a.time_ms", "every": "40ms", "phase": "25ms"}]
    loop = make_loop(watch(seen), sync_ms={"a": 20}, phase_ms={"a": 5}, connections=connections)
    loop.advance_to(120 * MS)
    assert changes(seen) == [(25, 25), (65, 65), (105, 105)]


@pytest.mark.parametrize(("delivery", "rest"), [("latch", 20.0), ("once", -1.0)])
def test_on_the_way_to_an_engine_the_newest_result_is_sampled(
    make_loop: MakeLoop, delivery: str, rest: float
) -> None:
    @transceiver(engine="b")
    def command(now: SimulationTime) -> To("b.given"):
        return np.full(1, now / MS) if now < 40 * MS else None

    connection = {"to": "b.given", "every": "30ms", "phase": "20ms", "delivery": delivery}
    loop = make_loop(command, connections=[connection])
    got = []
    for _ in range(8):
        loop.world.write("b.given", -1.0)  # as someone else would
        loop.advance()
        got.append(loop.world.read("b.echo")[0])
    # the result of 30 ms is the newest at 50 ms; at 80 ms there is nothing new
    last = 30.0 if delivery == "latch" else -1.0
    assert got == [-1, -1, 20, rest, rest, 30, last, last]


def test_is_updated_says_when_a_sample_has_come(make_loop: MakeLoop) -> None:
    seen = []

    @transceiver
    def look(
        is_new: IsUpdated("a.time_ms"),
        value: From("a.time_ms"),
        is_direct_new: IsUpdated("a.steps"),
        now: SimulationTime,
    ) -> To("b.given"):
        assert is_direct_new
        if is_new:
            seen.append((now / MS, value[0]))

    connections = [{"from": "a.time_ms", "every": "30ms", "phase": "10ms"}]
    loop = make_loop(look, connections=connections)
    loop.advance_to(100 * MS)
    assert seen == [(10, 10), (40, 40), (70, 70)]
    snapshot = loop.snapshot()
    seen.clear()
    loop.advance_to(140 * MS)
    loop.restore(snapshot)
    loop.advance_to(140 * MS)
    assert seen == 2 * [(100, 100), (130, 130)]


def test_times_count_from_each_instances_reset(make_loop: MakeLoop) -> None:
    seen = []

    @transceiver
    def look(value: From("a.steps")) -> To("b.given"):
        seen.append(value.tolist())

    connections = [{"from": "a.steps", "every": "30ms", "phase": "10ms"}]
    loop = make_loop(look, connections=connections, num_instances=2)
    loop.advance_to(50 * MS)
    some = np.array([0])
    loop.reset([5], some)
    loop.refresh(some)
    loop.advance_to(100 * MS)
    assert [first for first, _ in seen] == [0, 1, 1, 1, 4, 0, 1, 1, 1, 4]
    assert [other for _, other in seen] == [0, 1, 1, 1, 4, 4, 4, 7, 7, 7]


def test_a_reset_loses_the_sample_that_nobody_has_looked_at(make_loop: MakeLoop) -> None:
    seen = []

    @transceiver(engine="b")
    def look(value: From("a.steps")) -> To("b.given"):
        seen.append(value.tolist())

    loop = make_loop(
        look,
        sync_ms={"a": 5, "b": 20},
        connections=[{"from": "a.steps", "every": "60ms", "phase": "35ms"}],
        num_instances=2,
    )
    loop.advance_to(40 * MS)
    some = np.array([0])
    loop.reset([5], some)
    loop.refresh(some)
    loop.advance_to(100 * MS)
    assert seen == [[0, 0], [0, 0], [0, 7], [0, 7], [7, 7]]


def test_snapshots_hold_what_waits_and_what_is_on_its_way(make_loop: MakeLoop) -> None:
    connections = [
        {"from": "a.steps", "every": "60ms", "phase": "35ms", "delay": "45ms", "jitter": "30ms"},
        {"to": "b.given", "every": "40ms", "phase": "20ms", "dropout": 0.3},
    ]

    @transceiver(engine="b")
    def forward(steps: From("a.steps")) -> To("b.given"):
        return steps + 1

    def make(seed: int) -> FixedStepLoop:
        return make_loop(
            forward,
            sync_ms={"a": 5, "b": 20},
            connections=connections,
            num_instances=3,
            seeds=range(seed, seed + 3),
        )

    def got(loop: FixedStepLoop) -> np.ndarray:
        values = []
        for _ in range(60):
            loop.advance()
            values.append(loop.world.read("b.echo").copy())
        return np.array(values)

    loop = make(0)
    loop.advance_to(340 * MS)  # the sample of 335 ms has not set out: nobody has looked yet
    snapshot = loop.snapshot()
    expected = got(loop)
    assert len(np.unique(expected)) > 5
    loop.restore(snapshot)
    np.testing.assert_array_equal(got(loop), expected)
    other = make(7)
    other.restore(snapshot)
    np.testing.assert_array_equal(got(other), expected)


def test_an_instance_has_the_same_samples_alone_and_among_others(make_loop: MakeLoop) -> None:
    def seen(num_instances: int, seeds: list[int]) -> np.ndarray:
        values = []

        @transceiver
        def look(value: From("a.steps")) -> To("b.given"):
            values.append(value.copy())

        connections = [{"from": "a.steps", "every": "20ms", "dropout": 0.4, "jitter": "30ms"}]
        loop = make_loop(look, connections=connections, num_instances=num_instances, seeds=seeds)
        loop.advance_to(3000 * MS)
        return np.array(values)

    np.testing.assert_array_equal(seen(1, [4])[:, 0], seen(3, [8, 9, 4])[:, 2])


def test_the_annotation_may_set_it_and_settings_survive_being_written(make_loop: MakeLoop) -> None:
    sampled = ConnectionSettings(every="30ms", phase="10ms")
    seen = []

    @transceiver
    def look(value: From("a.time_ms", connection=sampled)) -> To("b.given"):
        seen.append(value[0])

    make_loop(look).advance_to(50 * MS)
    assert seen == [0, 10, 10, 10, 40]
    entry = validated(ConnectionEntry, SLOW_SENSOR)
    written = entry.model_dump(mode="json", by_alias=True)
    assert (written["every"], written["phase"]) == ("100ms", "5ms")
    assert validated(ConnectionEntry, written) == entry
    assert ConnectionSettings(phase="0ms").is_direct


REFUSED = [
    ({"every": "25ms"}, r"every: 25ms is not a multiple of its engine's sync.*10ms, 20ms, 30ms,"),
    ({"every": "5ms"}, r"every: 5ms is not a multiple of its engine's sync"),
    ({"phase": "5ms"}, r"phase: 5ms: no exchange .* Valid with every: 10ms: 0ns\.$"),
    ({"phase": "10ms"}, r"phase: 10ms: no exchange .* Valid with every: 10ms: 0ns\.$"),
    (
        {"every": "100ms", "phase": "5ms"},
        r"phase: 5ms: .* Valid with every: 100ms: 0ns, 10ms, 20ms, \.\.\., 90ms\.$",
    ),
    (
        {"every": "30ms", "phase": "30ms"},
        r"phase: 30ms: no exchange .* every: 30ms: 0ns, 10ms, 20ms\.$",
    ),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_times_at_which_nothing_is_exchanged_are_refused(
    make_loop: MakeLoop, settings: Mapping[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=rf"'look', 'value': connection of 'a.time_ms': {message}"):
        make_loop(watch([]), connections=[{"from": "a.time_ms", **settings}])

    @transceiver
    def command(now: SimulationTime) -> To("b.given"):
        return None

    # whoever else exchanges at that time: what is sent to an engine waits for the engine
    with pytest.raises(UserError, match=rf"connection of 'b.given': {message}"):
        make_loop(command, sync_ms={"a": 5}, connections=[{"to": "b.given", **settings}])


def test_an_unknown_engine_beside_it_is_named(make_loop: MakeLoop) -> None:
    @transceiver
    def look(value: From("a.time_ms"), other: From("c.time_ms")) -> To("b.given"):
        return value

    with pytest.raises(UserError, match=r"'other': unknown engine 'c'"):
        make_loop(look, connections=[{"from": "a.time_ms", "every": "30ms"}])


def test_times_that_are_no_durations_are_refused(make_loop: MakeLoop) -> None:
    with pytest.raises(UserError, match="every: '0ms' is less than 1ns"):
        make_loop(watch([]), connections=[{"from": "a.time_ms", "every": "0ms"}])
    with pytest.raises(UserError, match="phase: 5 has no unit"):
        make_loop(watch([]), connections=[{"from": "a.time_ms", "phase": 5}])


class Clock:
    """Real time that passes when the loop sleeps."""

    def __init__(self) -> None:
        self.now_ns = 0

    def clock_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def event_loop_of(counter: Any) -> Any:
    """Return what makes an event loop of 5 ms with an engine that exchanges every 20 ms."""

    def make(*functions: LoopFunction, connection: Mapping[str, str]) -> EventLoop:
        engine = validated(ScriptSettings, {"type": "script", "file": counter}).build("a", 1, 1)
        clock = Clock()
        loop = EventLoop(
            {"a": engine},
            5 * MS,
            timings={"a": Timing(20 * MS)},
            graph=GraphRun(Graph(functions), ["a"]),
            connections=[validated(ConnectionEntry, {"from": "a.time_ms", **connection})],
            pacing=Pacing(1.0, clock.clock_ns, clock.sleep),
        )
        loop.reset([0])
        loop.refresh()
        return loop

    return make


def test_nodes_of_an_event_loop_run_when_a_sample_comes(event_loop_of: Any) -> None:
    seen = []

    @node
    def look(values: All(From("a.time_ms")), now: SimulationTime) -> None:
        seen.append((now / MS, [value[0] for value in values]))

    loop = event_loop_of(look, connection={"every": "40ms", "phase": "5ms"})
    loop.advance_to(130 * MS)
    # at a tick at which the engine itself exchanges nothing
    assert seen == [(5, [0]), (45, [40]), (85, [80]), (125, [120])]


def test_times_between_the_ticks_of_an_event_loop_are_refused(event_loop_of: Any) -> None:
    @node
    def look(value: From("a.time_ms")) -> None:
        pass

    with pytest.raises(UserError, match=r"phase: 3ms.* Valid .*20ms: 0ns, 5ms, 10ms, 15ms\.$"):
        event_loop_of(look, connection={"phase": "3ms"})
