from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from troupe.core import ArraySpec
from troupe.core.arrays import Ids, as_indices
from troupe.engines.base import EngineSpec, Fault, StepCounter, check_pack
from troupe.engines.conformance import CHECKS, Case, check_engine


class Walker:
    """Walks at a commanded speed plus a wind that its seed decides; keeps the whole contract."""

    def __init__(self, num_instances: int, num_threads: int) -> None:
        bounded = ArraySpec((), "m/s", np.asarray(-1.0), np.asarray(1.0))
        outputs = {"speed": bounded, "position": ArraySpec((), "m")}
        timestep_ns = Fraction(10**7, 3)
        self.spec = EngineSpec("walker", timestep_ns, num_instances, {"speed": bounded}, outputs)
        self.num_threads = num_threads
        self.counter = StepCounter(timestep_ns, num_instances)
        self.state = {name: np.zeros(num_instances) for name in ("speed", "position", "wind")}

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        ids = as_indices(instances, self.spec.num_instances)
        self.counter.reset(ids)
        self.state["speed"][ids] = self.state["position"][ids] = 0.0
        self.state["wind"][ids] = [np.random.default_rng(seed).uniform() for seed in seeds]

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        check_pack(self.spec.inputs, pack, "walker")
        self.state[pack][as_indices(instances, self.spec.num_instances)] = value

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        for steps in self.counter.advance(duration_ns, instances):
            ids = as_indices(steps.instances, self.spec.num_instances)
            for _ in range(steps.count):
                self.state["position"][ids] += self.state["speed"][ids] + self.state["wind"][ids]

    def read(self, pack: str) -> npt.NDArray[Any]:
        check_pack(self.spec.outputs, pack, "walker")
        return self.state[pack]

    def faults(self) -> Sequence[Fault]:
        return ()

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        own = {"remainder": self.counter.remainder.copy()}
        return own | {name: values.copy() for name, values in self.state.items()}

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        ids = as_indices(instances, self.spec.num_instances)
        self.counter.remainder[ids] = snapshot["remainder"][ids]
        for name, values in self.state.items():
            values[ids] = snapshot[name][ids]

    def close(self) -> None:
        self.state = {}


class Undescribed(Walker):
    def read(self, pack: str) -> npt.NDArray[Any]:
        return super().read(pack).astype(np.float32)


class Diverging(Walker):
    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        super().advance(duration_ns, instances)
        self.state["position"][self.state["position"] > 20] = np.inf


class Forgiving(Walker):
    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        if pack in self.spec.inputs:
            super().write(pack, value, instances)


class Deaf(Walker):
    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        check_pack(self.spec.inputs, pack, "walker")


class Restless(Walker):
    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        super().advance(duration_ns, instances)
        self.state["position"][as_indices(instances, self.spec.num_instances)] += 1.0


class Careless(Walker):
    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        check_pack(self.spec.inputs, pack, "walker")
        self.state[pack][...] = np.mean(value)


class Random(Walker):
    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        super().reset(seeds, instances)
        self.state["wind"] = np.random.default_rng().uniform(size=self.spec.num_instances)


class Crowded(Walker):
    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        super().advance(duration_ns, instances)
        if duration_ns:
            self.state["position"] += 1e-12 * self.state["position"].sum()


class Threaded(Walker):
    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        super().advance(duration_ns, instances)
        self.state["position"] *= 1.0 + 1e-15 * (self.num_threads - 1)


class ResetsAll(Walker):
    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        super().reset(seeds, instances)
        self.state["position"][...] = 0.0


class Forgetful(Walker):
    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        return super().snapshot() | {"wind": np.zeros(self.spec.num_instances)}


class Aliasing(Walker):
    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        return super().snapshot() | {"position": self.state["position"]}


class RestoresAll(Walker):
    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        super().restore(snapshot)


class Rounding(Walker):
    def __init__(self, num_instances: int, num_threads: int) -> None:
        super().__init__(num_instances, num_threads)
        self.counter.advance = self._rounded  # type: ignore[method-assign]

    def _rounded(self, duration_ns: int, instances: Ids | None = None) -> Any:
        steps = round(duration_ns / self.spec.timestep_ns)
        return StepCounter(Fraction(1), self.spec.num_instances).advance(steps, instances)


class Unclosable(Walker):
    def close(self) -> None:
        del self.state


BROKEN = {
    "check_spec": Undescribed,
    "check_values_are_finite": Diverging,
    "check_unknown_packs": Forgiving,
    "check_driving_matters": Deaf,
    "check_advance_by_nothing": Restless,
    "check_write_of_some": Careless,
    "check_reset_is_exact": Random,
    "check_instances_are_independent": Crowded,
    "check_threads_do_not_matter": Threaded,
    "check_reset_of_some": ResetsAll,
    "check_snapshot_is_exact": Forgetful,
    "check_restore_of_some": RestoresAll,
    "check_time_is_exact": Rounding,
}


def test_an_engine_that_keeps_the_contract_conforms() -> None:
    check_engine(Case(Walker))


@pytest.mark.parametrize(
    ("name", "engine"), [*BROKEN.items(), ("check_snapshot_is_exact", Aliasing)]
)
def test_each_check_finds_an_engine_that_breaks_its_law(name: str, engine: type[Walker]) -> None:
    (check,) = (c for c in CHECKS if c.__name__ == name)
    with pytest.raises(AssertionError):
        check_engine(Case(engine), (check,))


def test_no_check_is_left_without_an_engine_that_breaks_it() -> None:
    assert {c.__name__ for c in CHECKS} - set(BROKEN) == {"check_close"}


def test_closing_twice_is_checked() -> None:
    with pytest.raises(AttributeError):
        check_engine(Case(Unclosable), CHECKS[-1:])


def test_a_declared_exception_is_allowed_until_it_is_none_any_more() -> None:
    exceptions = {"check_time_is_exact": "counts in rounded steps"}
    check_engine(Case(Rounding, exceptions=exceptions))
    with pytest.raises(AssertionError, match="check_time_is_exact holds: remove it"):
        check_engine(Case(Walker, exceptions=exceptions))
