"""Checks that every merge has to pass; call `check_merge` in the tests of a new one.

Example:
    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_merge_conforms(check):
        check_merge(Case(lambda: MySettings().build(seed=0)), [check])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.seeding import Streams
from troupe.learning.merging.base import Merge, Merged, Model

NUM_MODELS = 7
COMMON = 99


@dataclass(frozen=True)
class Case:
    """A merge under test.

    Attributes:
        make: returns a new one.
        tolerates: how many of `NUM_MODELS` models may be finite garbage.
        exceptions: names of checks that do not hold, with the reason.
    """

    make: Callable[[], Merge]
    tolerates: int = 0
    exceptions: Mapping[str, str] = field(default_factory=dict)


def models(round_number: int = 0, spread: float = 0.1) -> list[Model]:
    """Return models of honest learners, near to each other, that follow from the round."""
    found = []
    for peer in range(NUM_MODELS):
        rng = Streams(0).generator("models", peer, round_number)
        noise = {name: rng.standard_normal(v.shape) for name, v in _centre().items()}
        arrays = {
            name: (values + spread * noise[name]).astype(values.dtype)
            for name, values in _centre().items()
        }
        found.append(Model(peer, arrays, steps=100))
    return found


def common() -> Model:
    """Return the model that all began from."""
    return Model(COMMON, _centre())


def garbage(kind: str, model: Model) -> Model:
    """Return what a faulty peer sends instead of its model.

    Args:
        kind: one of `GARBAGE`.
        model: that it would send.
    """
    return Model(model.peer, GARBAGE[kind](dict(model.parameters)), model.steps)


def check_shapes_and_types(case: Case) -> None:
    """The result has the names, shapes and types of the own model, and is finite."""
    merged = case.make().merge(common(), models(), 0)
    assert merged.parameters.keys() == _centre().keys()
    for name, expected in _centre().items():
        values = merged.parameters[name]
        assert values.shape == expected.shape, name
        assert values.dtype == expected.dtype, name
        assert np.isfinite(values).all(), name


def check_inputs_stay(case: Case) -> None:
    """What is given stays as it is, and the result shares no memory with it."""
    own, given = common(), models()
    before = [{n: v.copy() for n, v in m.parameters.items()} for m in (own, *given)]
    merged = case.make().merge(own, given, 0)
    for values in merged.parameters.values():
        values[...] = 0
    for model, expected in zip((own, *given), before, strict=True):
        _assert_equal(model.parameters, expected)


def check_read_only_inputs(case: Case) -> None:
    """Read-only arrays are merged like others."""
    given = models()
    for model in given:
        for values in model.parameters.values():
            values.setflags(write=False)
    _assert_equal(
        case.make().merge(common(), given, 0).parameters,
        case.make().merge(common(), models(), 0).parameters,
    )


def check_equal_models(case: Case) -> None:
    """Models that are all alike are merged into the same."""
    alike = [Model(peer, _centre(), steps=100) for peer in range(NUM_MODELS)]
    _assert_equal(case.make().merge(common(), alike, 0).parameters, _centre())


def check_within_range(case: Case) -> None:
    """No number of the result lies outside those of the models."""
    given = models()
    merged = case.make().merge(common(), given, 0)
    for name, values in merged.parameters.items():
        stacked = np.stack([m.parameters[name] for m in (common(), *given)])
        assert (values >= stacked.min(axis=0) - 1e-6).all(), name
        assert (values <= stacked.max(axis=0) + 1e-6).all(), name


def check_order_does_not_matter(case: Case) -> None:
    """The order in which models arrive changes nothing but rounding."""
    merged = case.make().merge(common(), models(), 0)
    turned = case.make().merge(common(), models()[::-1], 0)
    for name, values in merged.parameters.items():
        np.testing.assert_allclose(turned.parameters[name], values, rtol=1e-6, atol=1e-6)


def check_unusable_models(case: Case) -> None:
    """A model that cannot be used is ignored, and its peer and fault are named."""
    for kind in UNUSABLE:
        # in gossip one model is chosen, so it is the only one here; others get the rest too
        given = [garbage(kind, model) if model.peer == 2 else model for model in models()]
        merged = case.make().merge(common(), given, 0)
        if set(merged.ignored) != {2}:
            alone = case.make().merge(Model(0, _centre(), steps=100), given[2:3], 0)
            assert set(alone.ignored) == {2}, kind
            _assert_equal(alone.parameters, _centre())
            continue
        assert merged.ignored[2], kind
        for name, values in merged.parameters.items():
            assert np.isfinite(values).all(), (kind, name)


def check_tolerated_garbage(case: Case) -> None:
    """As much garbage as the merge tolerates leaves the result amid the honest models."""
    for kind in GARBAGE:
        given = [garbage(kind, m) if m.peer < case.tolerates else m for m in models()]
        honest = given[case.tolerates :]
        merged = case.make().merge(common(), given, 0)
        for name, values in merged.parameters.items():
            stacked = np.stack([m.parameters[name] for m in honest])
            assert (values >= stacked.min(axis=0) - 1e-6).all(), (kind, name)
            assert (values <= stacked.max(axis=0) + 1e-6).all(), (kind, name)


def check_state_is_exact(case: Case) -> None:
    """A merge goes on from its state, bit for bit."""
    whole, first, second = case.make(), case.make(), case.make()
    for number in range(2):
        whole.merge(common(), models(number), number)
        first.merge(common(), models(number), number)
    second.restore(first.state())
    expected = whole.merge(common(), models(2), 2)
    merged: Merged = second.merge(common(), models(2), 2)
    _assert_equal(merged.parameters, expected.parameters)


CHECKS: Sequence[Callable[[Case], None]] = (
    check_shapes_and_types,
    check_inputs_stay,
    check_read_only_inputs,
    check_equal_models,
    check_within_range,
    check_order_does_not_matter,
    check_unusable_models,
    check_tolerated_garbage,
    check_state_is_exact,
)


def check_merge(case: Case, checks: Sequence[Callable[[Case], None]] = CHECKS) -> None:
    """Run checks on a merge; a check that is excepted has to fail, or its reason is out of date.

    Raises:
        AssertionError: if a check does not hold.
    """
    for check in checks:
        if check.__name__ not in case.exceptions:
            check(case)
            continue
        try:
            check(case)
        except AssertionError:
            continue
        raise AssertionError(f"{check.__name__} holds, although {case.exceptions[check.__name__]}")


def _centre() -> dict[str, npt.NDArray[Any]]:
    return {
        "0.weight": np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3),
        "0.bias": np.full(3, 0.5, np.float32),
        "scale": np.float64(2.0) * np.ones(()),
        "observations.mean": np.array([100.0, -3.0, 0.0, 1.0], np.float32),
        "observations.variance": np.array([4.0, 1.0, 9.0, 2.0], np.float32),
        "observations.num_samples": np.asarray(5000, np.int64),
    }


Parameters = dict[str, npt.NDArray[Any]]


def _not_finite(value: float) -> Callable[[Parameters], Parameters]:
    def spoil(parameters: Parameters) -> Parameters:
        weights = parameters["0.weight"].copy()
        weights[1, 1] = value
        return {**parameters, "0.weight": weights}

    return spoil


UNUSABLE: Mapping[str, Callable[[Parameters], Parameters]] = {
    "not a number": _not_finite(np.nan),
    "infinite": _not_finite(np.inf),
    "too large for its type": lambda p: {**p, "0.weight": np.full((4, 3), 1e300)},
    "wrong shape": lambda p: {**p, "0.weight": p["0.weight"][:2]},
    "something missing": lambda p: {name: v for name, v in p.items() if name != "0.bias"},
    "something else": lambda p: {**p, "1.weight": np.zeros(3)},
    "text": lambda p: {**p, "0.bias": np.array(["a", "b", "c"])},
    "nothing": lambda p: {},
}
"""Garbage that no merge can use, by kind."""

GARBAGE: Mapping[str, Callable[[Parameters], Parameters]] = {
    **UNUSABLE,
    "huge": lambda p: {n: (v * 1e6).astype(v.dtype) for n, v in p.items()},
    "sign flipped": lambda p: {n: (-v).astype(v.dtype) for n, v in p.items()},
    "zero": lambda p: {n: np.zeros_like(v) for n, v in p.items()},
}
"""All kinds of garbage; some of it can only be known by comparison."""


def _assert_equal(
    values: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, npt.NDArray[Any]]
) -> None:
    assert values.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(values[name], expected[name], err_msg=name)
