import numpy as np
import pytest

from troupe.core import ArraySpec, UserError, World


class Store:
    def __init__(self) -> None:
        self.values = {"angle": np.zeros((3, 2))}

    def read(self, pack: str) -> np.ndarray:
        return self.values[pack]

    def write(self, pack: str, value: object, instances: np.ndarray | None = None) -> None:
        self.values[pack][slice(None) if instances is None else instances] = value


@pytest.fixture
def world() -> World:
    spec = ArraySpec((2,), "rad", names=("a", "b"))
    return World({"arm": Store()}, {"arm.angle": spec}, {"arm.angle": spec}, 3)


def test_packs_are_read_and_written_by_engine_and_name(world: World) -> None:
    world.write("arm.angle", [1.0, 2.0], np.array([1]))
    assert world.read("arm.angle").tolist() == [[0, 0], [1, 2], [0, 0]]
    assert world.output("arm.angle").unit == "rad"


def test_unknown_packs_are_refused_with_the_valid_ones(world: World) -> None:
    with pytest.raises(UserError, match=r"datapack to read 'arm.angel'.*Valid: arm.angle"):
        world.output("arm.angel")
    with pytest.raises(UserError, match=r"datapack to write 'leg.angle'"):
        world.input("leg.angle")


def test_bounds_have_the_shape_of_the_value() -> None:
    spec = ArraySpec((2, 3), low=np.asarray(-1.0), high=np.asarray([1.0, 2.0, 3.0]))
    assert spec.low.shape == spec.high.shape == (2, 3)
    assert ArraySpec(()).high.shape == ()
