"""What every engine must do: a suite that the tests of each implementation call.

A test makes a `Case` of its engine and calls `check_engine`, or parametrises over `CHECKS`::

    case = Case(make=lambda instances, threads: settings.build("arm", instances, threads))

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_engine_conforms(check):
        check_engine(case, (check,))

Each check is a law of the contract in `troupe.engines.base`; a failure is an AssertionError that
says which. An engine that cannot keep a law names it among its case's exceptions, with the reason.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec
from troupe.core.errors import UserError
from troupe.core.seeding import Streams
from troupe.engines.base import Engine

NUM_INSTANCES = 8
NUM_STEPS = 12

Trajectory = list[dict[str, npt.NDArray[Any]]]
Draw = Callable[[np.random.Generator], Any]


@dataclass(frozen=True)
class Case:
    """An engine under test.

    Attributes:
        make: returns a new engine for a number of instances and of native threads.
        drive: packs to write before each advance, and the range to draw random values from, None
            for the pack's bounds, or for a JSON pack a function that draws a value; default: all
            inputs that have bounds.
        step_ns: how far each advance goes; None for ten inner steps.
        exceptions: names of checks that do not hold, with the reason.
    """

    make: Callable[[int, int], Engine]
    drive: Mapping[str, tuple[float, float] | Draw | None] | None = None
    step_ns: int | None = None
    exceptions: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def engine(self, num_instances: int = NUM_INSTANCES, num_threads: int = 1) -> Iterator[Engine]:
        """Give an engine whose instances were reset with seeds 0, 1, 2, ..."""
        engine = self.make(num_instances, num_threads)
        try:
            engine.reset(range(num_instances))
            engine.advance(0)
            yield engine
        finally:
            engine.close()

    def duration_ns(self, engine: Engine) -> int:
        """Return how far one advance goes."""
        return self.step_ns or round(10 * engine.spec.timestep_ns)

    def run(self, engine: Engine, steps: range, first_instance: int = 0) -> Trajectory:
        """Drive and advance an engine and return its packs after each step.

        What is written depends on the step and the instance's number only.
        """
        trajectory = []
        for step in steps:
            for pack, values in self.values(engine, step, first_instance).items():
                engine.write(pack, values)
            engine.advance(self.duration_ns(engine))
            trajectory.append(packs(engine))
        return trajectory

    def values(
        self, engine: Engine, step: int, first_instance: int = 0
    ) -> dict[str, npt.NDArray[Any]]:
        """Return what to write before a step, from a stream for each pack, step and instance."""
        inputs = engine.spec.inputs
        drive = self.drive
        if drive is None:
            drive = dict.fromkeys(n for n, s in inputs.items() if _is_bounded(s))
        ids = range(first_instance, first_instance + engine.spec.num_instances)
        return {
            pack: np.stack(
                [_value(inputs[pack], bounds, Streams(0).generator(pack, i, step)) for i in ids]
            )
            for pack, bounds in drive.items()
        }


def packs(engine: Engine) -> dict[str, npt.NDArray[Any]]:
    """Return copies of all the packs that can be read."""
    # deep, since JSON values may change in place
    return {pack: copy.deepcopy(engine.read(pack)) for pack in engine.spec.outputs}


def check_spec(case: Case) -> None:
    """The spec is complete: a positive time step, and an array for each pack, as described."""
    with case.engine() as engine:
        assert engine.spec.timestep_ns > 0
        assert engine.spec.num_instances == NUM_INSTANCES
        assert engine.spec.outputs, "an engine has something to read"
        for pack, values in packs(engine).items():
            spec = engine.spec.outputs[pack]
            assert values.shape == (NUM_INSTANCES, *spec.shape), f"{pack}: shape {values.shape}"
            assert values.dtype == spec.dtype, f"{pack}: dtype {values.dtype}, not {spec.dtype}"
            assert spec.dtype != object or _is_json(values), f"{pack}: not one JSON value each"
            assert (spec.low <= spec.high).all(), f"{pack}: low above high"
            assert spec.low.shape == spec.shape, f"{pack}: bounds of another shape"


def check_values_are_finite(case: Case) -> None:
    """Packs are finite, initially and when driven within their bounds, and nothing fails."""
    with case.engine() as engine:
        trajectory = [packs(engine), *case.run(engine, range(NUM_STEPS))]
        for step, values in enumerate(trajectory):
            numbers = {n: v for n, v in values.items() if v.dtype != object}
            for pack, array in numbers.items():
                assert np.isfinite(array).all(), f"{pack} is not finite at step {step}"
        assert not engine.faults()


def check_unknown_packs(case: Case) -> None:
    """To read or write a pack that does not exist is the user's error."""
    with case.engine() as engine:
        for access in (engine.read, lambda pack: engine.write(pack, 0.0)):
            try:
                access("no_such_pack")
            except UserError as error:
                message = str(error)
            else:
                raise AssertionError("an unknown pack was accepted")
            assert "no_such_pack" in message, "the error does not name the pack"


def check_driving_matters(case: Case) -> None:
    """What is written changes what is read."""
    with case.engine() as engine:
        driven = case.run(engine, range(NUM_STEPS))
    with case.engine() as engine:
        duration_ns = case.duration_ns(engine)
        for _ in range(NUM_STEPS):
            engine.advance(duration_ns)
        assert not _equal(packs(engine), driven[-1])


def check_advance_by_nothing(case: Case) -> None:
    """An advance by 0 shows what was written, moves no time and changes nothing else."""
    with case.engine() as engine, case.engine() as other:
        case.run(engine, range(2))
        case.run(other, range(2))
        before = packs(engine)
        engine.advance(0)
        engine.advance(0, np.array([1]))
        _assert_equal(packs(engine), before, "an advance by 0 changed packs")
        after, expected = case.run(engine, range(2, 4)), case.run(other, range(2, 4))
        _assert_same_trajectory(after, expected, "an advance by 0 changed what followed")


def check_write_of_some(case: Case) -> None:
    """A write to some instances leaves the others as they are."""
    some = np.array([1, 4])
    others = np.setdiff1d(np.arange(NUM_INSTANCES), some)
    with case.engine() as engine:
        before = packs(engine)
        for pack, values in case.values(engine, step=0).items():
            engine.write(pack, values[some], some)
        engine.advance(0)
        _assert_equal(_rows(packs(engine), others), _rows(before, others), "others were written")


def check_reset_is_exact(case: Case) -> None:
    """The same seeds lead to bitwise the same trajectory, in a new engine and after a reset."""
    with case.engine() as engine:
        first = [packs(engine), *case.run(engine, range(NUM_STEPS))]
        engine.reset(range(NUM_INSTANCES))
        engine.advance(0)
        again = [packs(engine), *case.run(engine, range(NUM_STEPS))]
    with case.engine() as engine:
        anew = [packs(engine), *case.run(engine, range(NUM_STEPS))]
    _assert_same_trajectory(again, first, "another trajectory after a reset with the same seeds")
    _assert_same_trajectory(anew, first, "another trajectory of a new engine with the same seeds")


def check_instances_are_independent(case: Case) -> None:
    """Each instance does bitwise the same alone as among others."""
    with case.engine() as engine:
        together = [packs(engine), *case.run(engine, range(NUM_STEPS))]
    for instance in (0, NUM_INSTANCES - 1):
        with case.engine(1) as engine:
            engine.reset([instance])
            engine.advance(0)
            alone = [packs(engine), *case.run(engine, range(NUM_STEPS), instance)]
        expected = [_rows(values, np.array([instance])) for values in together]
        _assert_same_trajectory(alone, expected, f"instance {instance} alone does something else")


def check_threads_do_not_matter(case: Case) -> None:
    """One and two threads lead to bitwise the same trajectory."""
    with case.engine(num_threads=1) as engine:
        one = case.run(engine, range(NUM_STEPS))
    with case.engine(num_threads=2) as engine:
        two = case.run(engine, range(NUM_STEPS))
    _assert_same_trajectory(two, one, "another trajectory with two threads")


def check_reset_of_some(case: Case) -> None:
    """A reset of some instances begins these anew and does not touch the others."""
    some = np.array([0, 3])
    others = np.setdiff1d(np.arange(NUM_INSTANCES), some)
    with case.engine() as engine:
        if not engine.spec.can_reset_some:
            return
        fresh = packs(engine)
        undisturbed = case.run(engine, range(NUM_STEPS))
    with case.engine() as engine:
        case.run(engine, range(NUM_STEPS // 2))
        before = packs(engine)
        engine.reset([int(i) for i in some], some)
        engine.advance(0, some)
        now = packs(engine)
        _assert_equal(_rows(now, some), _rows(fresh, some), "not the initial state")
        _assert_equal(_rows(now, others), _rows(before, others), "others were reset too")
        rest = case.run(engine, range(NUM_STEPS // 2, NUM_STEPS))
        for values, expected in zip(rest, undisturbed[NUM_STEPS // 2 :], strict=True):
            _assert_equal(_rows(values, others), _rows(expected, others), "others were disturbed")


def check_snapshot_is_exact(case: Case) -> None:
    """After `restore`, in the same engine or another one, all goes on bitwise the same."""
    with case.engine() as engine:
        if not engine.spec.can_snapshot:
            return
        case.run(engine, range(NUM_STEPS))
        at_snapshot, snapshot = packs(engine), engine.snapshot()
        for key, values in snapshot.items():
            assert len(values) == NUM_INSTANCES, f"'{key}' does not lead with the instances"
        kept = copy.deepcopy(snapshot)
        expected = case.run(engine, range(NUM_STEPS, 2 * NUM_STEPS))
        _assert_equal(snapshot, kept, "the engine went on in its snapshot")
        engine.restore(snapshot)
        _assert_equal(packs(engine), at_snapshot, "packs differ after restore")
        again = case.run(engine, range(NUM_STEPS, 2 * NUM_STEPS))
        _assert_same_trajectory(again, expected, "another trajectory after restore")
    with case.engine() as engine:
        engine.restore(snapshot)
        _assert_equal(packs(engine), at_snapshot, "packs differ after restore in a new engine")
        anew = case.run(engine, range(NUM_STEPS, 2 * NUM_STEPS))
        _assert_same_trajectory(anew, expected, "another trajectory after restore in a new engine")


def check_restore_of_some(case: Case) -> None:
    """A restore of some instances returns these and does not touch the others."""
    some = np.array([2, NUM_INSTANCES - 1])
    others = np.setdiff1d(np.arange(NUM_INSTANCES), some)
    with case.engine() as engine:
        if not (engine.spec.can_snapshot and engine.spec.can_reset_some):
            return
        case.run(engine, range(3))
        at_snapshot, snapshot = packs(engine), engine.snapshot()
        case.run(engine, range(3, 6))
        before = packs(engine)
        engine.restore(snapshot, some)
        now = packs(engine)
        _assert_equal(_rows(now, some), _rows(at_snapshot, some), "not the snapshot's state")
        _assert_equal(_rows(now, others), _rows(before, others), "others were restored too")


def check_time_is_exact(case: Case) -> None:
    """Short advances, of a third of an inner step, lead to the same as one long advance."""
    with case.engine() as engine:
        third_ns = max(1, int(engine.spec.timestep_ns // 3))
        total = 60 * third_ns
        for _ in range(60):
            engine.advance(third_ns)
        short = packs(engine)
    with case.engine() as engine:
        engine.advance(total)
        _assert_equal(packs(engine), short, "time was lost or gained in short advances")


def check_close(case: Case) -> None:
    """To close twice does no harm, nor does it to what was read and copied before."""
    engine = case.make(2, 1)
    engine.close()
    engine.close()


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_spec,
    check_values_are_finite,
    check_unknown_packs,
    check_driving_matters,
    check_advance_by_nothing,
    check_write_of_some,
    check_reset_is_exact,
    check_instances_are_independent,
    check_threads_do_not_matter,
    check_reset_of_some,
    check_snapshot_is_exact,
    check_restore_of_some,
    check_time_is_exact,
    check_close,
)


def check_engine(case: Case, checks: Sequence[Callable[[Case], None]] = CHECKS) -> None:
    """Check that an engine keeps the contract.

    Raises:
        AssertionError: that says which law is broken, or that an exception is none any more.
    """
    for check in checks:
        if check.__name__ not in case.exceptions:
            check(case)
            continue
        try:
            check(case)
        except AssertionError:
            continue
        raise AssertionError(f"{check.__name__} holds: remove it from the exceptions")


def _is_bounded(spec: ArraySpec) -> bool:
    return spec.categories > 0 or bool(np.isfinite([spec.low, spec.high]).all())


def _is_json(values: npt.NDArray[Any]) -> bool:
    try:
        json.dumps(values.tolist())
    except (TypeError, ValueError):
        return False
    return values.ndim == 1


def _value(
    spec: ArraySpec, bounds: tuple[float, float] | Draw | None, rng: np.random.Generator
) -> npt.NDArray[Any]:
    if callable(bounds):
        value = np.empty(spec.shape, spec.dtype)
        value[()] = bounds(rng)
        return value
    if spec.categories:
        return rng.integers(spec.categories, size=spec.shape).astype(spec.dtype)
    low, high = bounds or (spec.low, spec.high)
    return np.asarray(rng.uniform(low, high, spec.shape), spec.dtype)


def _rows(
    values: Mapping[str, npt.NDArray[Any]], ids: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[Any]]:
    return {name: array[ids] for name, array in values.items()}


def _equal(
    values: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, npt.NDArray[Any]]
) -> bool:
    return all(_same(values[name], expected[name]) for name in expected)


def _same(values: npt.NDArray[Any], expected: npt.NDArray[Any]) -> bool:
    if expected.dtype == object:
        return values.shape == expected.shape and values.tolist() == expected.tolist()
    return np.array_equal(values, expected)


def _assert_equal(
    values: Mapping[str, npt.NDArray[Any]],
    expected: Mapping[str, npt.NDArray[Any]],
    message: str,
) -> None:
    differing = [n for n in expected if not _same(values[n], expected[n])]
    assert not differing, f"{message}: {', '.join(differing)}"


def _assert_same_trajectory(values: Trajectory, expected: Trajectory, message: str) -> None:
    for step, (now, then) in enumerate(zip(values, expected, strict=True)):
        _assert_equal(now, then, f"{message}, at step {step}")
