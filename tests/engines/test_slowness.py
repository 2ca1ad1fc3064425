from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from troupe.core import UserError, plugins
from troupe.core.seeding import Streams
from troupe.core.settings import validated
from troupe.engines.base import ConcurrentEngine, Engine, EngineSettings
from troupe.engines.conformance import CHECKS, Case, check_engine
from troupe.engines.host import HostedEngine, open_engine
from troupe.engines.mujoco_settings import MujocoSettings
from troupe.engines.slowness import (
    DrawnTimes,
    FixedTimes,
    SlowConcurrentEngine,
    SlowEngine,
    declared_slow,
)
from troupe.engines.step_times import DrawnTime, LognormalTime, ParetoTime

STEP_NS = 20_000_000
MS = 1_000_000
PARETO = ParetoTime.model_validate({"mean": "20ms", "exponent": 1.5})


class Clock:
    """Stands still but for what is waited, and for what others let pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def now_s(self) -> float:
        return self.now

    def sleep(self, duration_s: float) -> None:
        self.waits.append(duration_s)
        self.now += duration_s


def scara(num_instances: int = 4, **settings: Any) -> Engine:
    return validated(MujocoSettings, {"robot": "scara", **settings}).build("arm", num_instances, 1)


def drawn(num_instances: int = 4, settings: DrawnTime = PARETO, engine: str = "arm") -> DrawnTimes:
    times = DrawnTimes(settings, engine, num_instances)
    times.reset(range(num_instances), None)
    return times


def test_instances_take_their_times_one_after_the_other() -> None:
    clock = Clock()
    times = FixedTimes(20 * MS, 4)
    engine = SlowEngine(scara(), times, now_s=clock.now_s, sleep=clock.sleep)
    engine.advance(STEP_NS)
    engine.advance(STEP_NS, np.array([0, 3]))
    engine.advance(0)  # brings outputs up to date: no step
    assert clock.waits == pytest.approx([0.08, 0.04])


def test_a_slow_worker_takes_a_multiple() -> None:
    clock = Clock()
    times = FixedTimes(20 * MS, 4)
    engine = SlowEngine(scara(), times, slowdown=2.5, now_s=clock.now_s, sleep=clock.sleep)
    engine.advance(STEP_NS)
    assert clock.waits == pytest.approx([0.2])


def test_what_the_engine_itself_needs_is_part_of_the_time() -> None:
    looks = iter([10.0, 10.03, 20.0, 20.5])  # before and after an advance
    waits: list[float] = []
    times = FixedTimes(20 * MS, 4)
    engine = SlowEngine(scara(), times, now_s=lambda: next(looks), sleep=waits.append)
    engine.advance(STEP_NS)
    engine.advance(STEP_NS)  # takes longer than what is declared
    assert waits == pytest.approx([0.05])


def test_an_engine_elsewhere_is_slow_while_others_work() -> None:
    clock = Clock()
    elsewhere = open_engine(MujocoSettings(robot="scara", host="process"), "arm", 4, 1)
    assert isinstance(elsewhere, HostedEngine)
    times = FixedTimes(20 * MS, 4)
    engine = SlowConcurrentEngine(elsewhere, times, now_s=clock.now_s, sleep=clock.sleep)
    engine.reset(range(4))
    engine.begin(STEP_NS)
    while not elsewhere.poll():
        pass
    clock.now += 0.07
    assert not engine.poll()
    engine.finish()
    assert clock.waits == pytest.approx([0.01])
    engine.begin(STEP_NS)
    while not elsewhere.poll():
        pass
    clock.now += 0.09
    assert engine.poll()
    engine.finish()
    assert len(clock.waits) == 1
    engine.close()


def test_drawn_times_do_not_depend_on_how_instances_are_divided() -> None:
    together = drawn(4)
    alone = [DrawnTimes(PARETO, "arm", 1) for _ in range(4)]
    for seed, times in enumerate(alone):
        times.reset([seed], None)
    for _ in range(5):
        expected = sum(times.take(None) for times in alone)
        assert together.take(None) == pytest.approx(expected, rel=1e-12)
    assert together.take(np.array([2])) == alone[2].take(None)


def test_drawn_times_differ_between_steps_instances_and_engines() -> None:
    times = drawn()
    instances = [times.take(np.array([i])) for i in range(4)]
    later = times.take(np.array([0]))
    other = drawn(engine="leg").take(np.array([0]))
    assert len({*instances, later, other}) == 6


def test_a_reset_and_a_restored_snapshot_lead_to_the_same_times() -> None:
    times = drawn()
    first = [times.take(None) for _ in range(3)]
    snapshot = times.snapshot()
    later = [times.take(None) for _ in range(3)]
    times.restore(snapshot, None)
    assert [times.take(None) for _ in range(3)] == later
    times.reset(range(4), None)
    assert [times.take(None) for _ in range(3)] == first
    times.restore({}, None)  # of a run whose simulator was as fast as it goes
    assert times.take(None) == later[0]


def draws(settings: DrawnTime, num_draws: int = 20_000) -> np.ndarray:
    generator = Streams(0).generator("test")
    return np.array([settings.draw_ns(generator) for _ in range(num_draws)]) / MS


def test_pareto_times_have_the_mean_and_the_tail_of_the_formula() -> None:
    times = draws(ParetoTime.model_validate({"mean": "20ms", "exponent": 3}))
    # least = 20 * 2 / 3, P(t > 2 least) = 1 / 8
    assert times.min() >= 40 / 3
    assert times.mean() == pytest.approx(20, rel=0.02)
    assert (times > 80 / 3).mean() == pytest.approx(1 / 8, rel=0.05)


def test_lognormal_times_have_the_mean_and_the_median_of_the_formula() -> None:
    times = draws(LognormalTime.model_validate({"mean": "20ms", "sigma": 0.5}))
    assert times.mean() == pytest.approx(20, rel=0.02)
    assert np.median(times) == pytest.approx(20 * np.exp(-0.125), rel=0.02)


def test_no_time_is_longer_than_the_longest() -> None:
    assert draws(PARETO).max() > 100
    assert draws(PARETO.model_copy(update={"longest": 100 * MS})).max() == 100


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_slow_engine_conforms(check: Callable[[Case], None]) -> None:
    def make(num_instances: int, num_threads: int) -> Engine:
        times = drawn(num_instances)
        return SlowEngine(scara(num_instances), times, sleep=lambda duration_s: None)

    check_engine(Case(make, drive={"joint_target": None}), (check,))


def test_every_engine_may_declare_slowness_and_is_measured_without() -> None:
    for name in plugins.names("troupe.engines"):
        settings: type[EngineSettings] = plugins.load("troupe.engines", name)
        slow = settings.model_construct(step_time=20 * MS)
        assert slow.as_measured().step_time is None, name


def test_only_declared_slowness_costs_anything() -> None:
    engine = scara()
    assert declared_slow(engine, MujocoSettings(robot="scara"), slowdown=10) is engine


@pytest.mark.parametrize("step_time", ["1ns", {"type": "lognormal", "mean": "1ns"}])
def test_engines_are_slow_here_and_elsewhere(step_time: Any) -> None:
    for host in ("here", "process"):
        settings = validated(
            MujocoSettings, {"robot": "scara", "host": host, "step_time": step_time}
        )
        engine = open_engine(settings, "arm", 2, 1, slowdown=3)
        assert isinstance(engine, SlowEngine)
        assert engine.slowdown == 3
        assert isinstance(engine, ConcurrentEngine) == (host == "process")
        engine.reset([0, 1])
        engine.advance(STEP_NS)
        engine.close()


def test_settings_are_read_again_as_they_are_written() -> None:
    written: list[Any] = ["20ms", {"type": "pareto", "mean": "20ms", "exponent": 1.5}]
    for step_time in written:
        settings = validated(MujocoSettings, {"robot": "scara", "step_time": step_time})
        assert settings.model_dump(mode="json", exclude_none=True)["step_time"] == step_time


@pytest.mark.parametrize(
    ("step_time", "message"),
    [
        (20, ": 20 has no unit: write a number and a unit, e.g. '20ms'."),
        (
            {"mean": "20ms"},
            ": give a mapping with a 'type', not {'mean': '20ms'}. Valid types: lognorm",
        ),
        ({"type": "paretto"}, ".type: unknown type 'paretto'. Did you mean 'pareto'?"),
        ({"type": "pareto"}, ".mean: Field required."),
        ({"type": "pareto", "mean": "2ms", "sigma": 1}, ": unknown key 'sigma'. Valid: exponent, "),
        (
            {"type": "pareto", "mean": "2ms", "exponent": 1},
            ".exponent: Input should be greater than 1, not 1.",
        ),
    ],
)
def test_wrong_times_are_refused(step_time: Any, message: str) -> None:
    with pytest.raises(UserError) as raised:
        validated(MujocoSettings, {"robot": "scara", "step_time": step_time}, "engines.arm")
    assert str(raised.value).startswith(f"engines.arm.step_time{message}")
