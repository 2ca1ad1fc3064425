from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BeforeValidator, Field

from troupe.core import UserError
from troupe.core.settings import (
    Duration,
    Settings,
    Timestep,
    UserFile,
    by_type,
    nanoseconds,
    typed,
    validated,
)


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


class Rod(Settings):
    type: Literal["rod"] = "rod"
    length: float


class Ball(Settings):
    type: Literal["ball"] = "ball"
    radius: float = 1.0
    file: UserFile | None = None


SHAPES: dict[str, type[Settings]] = {"rod": Rod, "ball": Ball}


class Body(Settings):
    shape: Annotated[Rod | Ball, BeforeValidator(by_type(SHAPES, kind="shape"))]


def test_a_type_names_the_class_of_settings(tmp_path: Path) -> None:
    assert typed(SHAPES, {"type": "rod", "length": 2}) == Rod(length=2)
    assert typed(SHAPES, {"radius": 2}, default="ball") == Ball(radius=2)
    assert typed(SHAPES, Ball()) == Ball()
    assert typed("troupe.scenes", {"type": "tray"}).model_dump()["type"] == "tray"
    (tmp_path / "a.obj").write_text("")
    ball = {"shape": {"type": "ball", "file": "a.obj"}}
    assert validated(Body, ball, directories=[tmp_path]).shape.file == tmp_path / "a.obj"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "x: give a mapping with a 'type', not 3. Valid types: ball, rod."),
        ({"length": 1}, "x: give a mapping with a 'type', not {'length': 1}. Valid types: ball"),
        ({"type": "bal"}, "x.type: unknown shape 'bal'. Did you mean 'ball'? Valid: ball, rod."),
        ({"type": "ball", "radus": 1}, "x: unknown key 'radus'. Did you mean 'radius'?"),
        ({"type": "rod"}, "x.length: Field required."),
        ({"type": "rod", "length": "a"}, "x.length: Input should be a valid number"),
    ],
)
def test_what_is_wrong_with_a_type_is_told(value: object, message: str) -> None:
    with pytest.raises(UserError) as raised:
        typed(SHAPES, value, "x", kind="shape")
    assert str(raised.value).startswith(message)
    with pytest.raises(UserError) as raised:
        validated(Body, {"shape": value}, "y")
    assert str(raised.value).startswith("y.shape" + message.removeprefix("x"))


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().step = 3  # type: ignore[misc]
