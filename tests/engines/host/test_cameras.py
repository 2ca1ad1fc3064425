"""Cameras of engines elsewhere: the same images as here, rendered when they are read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troupe.core import EngineError, UserError
from troupe.engines.base import Engine
from troupe.engines.conformance import (
    Case,
    check_engine,
    check_reset_of_some,
    check_snapshot_is_exact,
)
from troupe.engines.host import HostedEngine, open_engine
from troupe.engines.host.grpc_server import EngineService
from troupe.engines.mujoco_camera_settings import CameraEngine
from troupe.engines.mujoco_settings import MujocoSettings

SCENE = """
<mujoco>
  <worldbody>
    <light name="lamp" pos="0 0 2"/>
    <geom name="floor" type="plane" size="2 2 .1"/>
    <body name="ball" pos="0 0 .4"><freejoint/>
      <geom name="ball" size=".2" rgba="1 .2 .1 1"/></body>
  </worldbody>
</mujoco>
"""
STEP_NS = 20_000_000
TRANSPORTS = pytest.mark.parametrize("transport", ["process", "grpc"])


@pytest.fixture
def settings(tmp_path: Path) -> MujocoSettings:
    path = tmp_path / "scene.xml"
    path.write_text(SCENE)
    eye = {"position": [0, -1, 1], "target": [0, 0, 0.3], "width": 16, "height": 12}
    description = {
        "model": path,
        "cameras": {"eye": {**eye, "renderer": "rays"}},
        "packs": {"colour": {"kind": "geom", "names": "ball", "field": "rgba"}},
        "lights": {"lamp": {"light": "lamp"}},
    }
    return MujocoSettings.model_validate(description)


def opened(settings: MujocoSettings, host: str) -> Engine:
    return open_engine(settings.model_copy(update={"host": host}), "room", 3, 1)


def use(engine: Any) -> list[np.ndarray]:
    """Look at everything in all ways, also between a write and an advance."""
    assert isinstance(engine, CameraEngine)
    seen: list[np.ndarray] = []
    some = np.array([2, 0])
    engine.reset([0] * 3)
    engine.advance(0)
    for step in range(3):
        engine.write("colour", [[0, 0.2 * step, 1, 1]], np.array([1]))
        engine.write("lamp.colour", 0.1 + 0.2 * step)
        seen.append(engine.read("eye.rgb").copy())
        images = engine.render("eye", ["rgb", "depth", "mask"], some)
        seen += list(images.values())
        engine.write("eye.rotation", [[0, 0, 0.1 * step]], some[:1])
        engine.advance(STEP_NS)
        seen += [engine.read(f"eye.{kind}").copy() for kind in ("normal", "pose", "intrinsics")]
        seen += [engine.read("colour").copy(), engine.read("qpos").copy()]
    assert engine.renderers() == {"eye": "rays"}
    assert engine.mask_names() == {0: "world", 1: "ball"}
    engine.close()
    return seen


@TRANSPORTS
def test_images_are_bitwise_those_of_an_engine_here(
    transport: str, settings: MujocoSettings, service: EngineService
) -> None:
    host = service.address if transport == "grpc" else transport
    for now, then in zip(use(opened(settings, host)), use(opened(settings, "here")), strict=True):
        assert now.dtype == then.dtype
        np.testing.assert_array_equal(now, then)


@TRANSPORTS
@pytest.mark.usefixtures("odd_is_offered")
def test_they_are_rendered_when_they_are_read_and_kept_until_something_changes(
    transport: str, open_odd: Callable[..., HostedEngine], service: EngineService
) -> None:
    host = service.address if transport == "grpc" else transport
    engine = open_odd(num_instances=1, host=host)
    for _ in range(5):
        engine.advance(10)
    assert [engine.read("pictures").tolist() for _ in range(2)] == [[1], [1]]
    engine.begin(10)
    # those of before, as of all packs
    assert engine.read("pictures").tolist() == [1]
    engine.finish()
    engine.write("command", 1.0)
    assert engine.read("pictures").tolist() == [2]
    engine.begin(10)
    engine.finish()
    engine.begin(10)
    with pytest.raises(EngineError, match=r"odd\.pictures is rendered when it is read"):
        engine.read("pictures")
    engine.finish()


def test_a_camera_or_modality_that_is_not_there_is_told_and_the_engine_goes_on(
    settings: MujocoSettings,
) -> None:
    engine = opened(settings, "process")
    assert isinstance(engine, CameraEngine)
    with pytest.raises(UserError, match="unknown camera 'ey'"):
        engine.render("ey", ["rgb"])
    with pytest.raises(UserError, match="unknown modality 'deep'"):
        engine.render("eye", ["deep"])
    assert engine.render("eye", ["mask"])["mask"].shape == (3, 12, 16)
    engine.close()


@pytest.mark.slow
def test_an_engine_with_a_camera_elsewhere_conforms(settings: MujocoSettings) -> None:
    elsewhere = settings.model_copy(update={"host": "process"})
    case = Case(
        lambda instances, threads: open_engine(elsewhere, "room", instances, threads),
        drive={"qvel": (-1.0, 1.0), "colour": (0.0, 1.0)},
    )
    check_engine(case, (check_reset_of_some, check_snapshot_is_exact))


def test_an_engine_that_is_declared_slow_keeps_its_cameras(settings: MujocoSettings) -> None:
    slow = settings.model_copy(update={"step_time": 1000})
    for expected, seen in zip(
        use(opened(settings, "here")), use(opened(slow, "here")), strict=True
    ):
        np.testing.assert_array_equal(expected, seen)
