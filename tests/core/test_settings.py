from fractions import Fraction
from typing import Literal

import pytest
from pydantic import Field

from troupe.core import UserError
from troupe.core.settings import Duration, Settings, Timestep, nanoseconds, validated


class Inner(Settings):
    mass: float = Field(1.0, gt=0)


class Outer(Settings):
    step: Duration = nanoseconds(20_000_000)
    timestep: Timestep | None = None
    inner: Inner = Inner()
    by_name: dict[str, Inner] = {}
    target: Literal["random"] | tuple[tuple[float, float], ...] = "random"


def test_values_are_read_and_written_with_units() -> None:
    settings = validated(Outer, {"step": "10ms", "timestep": "1/240s"})
    assert settings.step == 10_000_000
    assert settings.timestep == Fraction(10**9, 240)
    written = settings.model_dump(mode="json")
    assert (written["step"], written["timestep"]) == ("10ms", "1/240s")
    assert validated(Outer, written) == settings


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"stpe": "1ms"}, "x: unknown key 'stpe'. Did you mean 'step'? Valid: by_name, inner, "),
        ({"inner": {"mas": 1}}, "x.inner: unknown key 'mas'. Did you mean 'mass'? Valid: mass."),
        ({"by_name": {"a": {"mas": 1}}}, "x.by_name.a: unknown key 'mas'. Did you mean 'mass'?"),
        ({"inner": {"mass": 0}}, "x.inner.mass: Input should be greater than 0, not 0."),
        ({"step": 2}, "x.step: 2 has no unit: write a number and a unit, e.g. '2ms'."),
        ({"timestep": 2.5}, "x.timestep: 2.5 has no unit"),
        ({"step": "2 m"}, "x.step: '2 m' is not a duration"),
        ({"step": "0ms"}, "x.step: '0ms' is less than 1ns."),
        ({"target": "rundom"}, "x.target: Input should be 'random', not 'rundom'."),
        ({"target": [[1, "a"]]}, "x.target.0.1: Input should be a valid number"),
        (3, "x: Input should be a valid dictionary or instance of Outer, not 3."),
    ],
)
def test_errors_name_place_value_and_what_is_valid(value: object, message: str) -> None:
    with pytest.raises(UserError) as raised:
        validated(Outer, value, "x")
    assert str(raised.value).startswith(message)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().step = 3  # type: ignore[misc]
