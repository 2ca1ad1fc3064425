"""What can be drawn for each instance: masses, gains, lights, cameras, textures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from troupe.core import EngineError, UserError
from troupe.core.settings import validated
from troupe.engines.conformance import CHECKS, Case, check_engine
from troupe.engines.mujoco import MujocoEngine
from troupe.engines.mujoco_camera_context import new_context
from troupe.engines.mujoco_settings import MujocoSettings

SCENE = """
<mujoco>
  <asset>
    <texture name="checks" type="cube" builtin="checker" rgb1="0 0 0" rgb2="1 1 1"
             width="8" height="8"/>
    <texture name="plain" type="cube" builtin="flat" rgb1="1 .2 .2" rgb2="1 .2 .2"
             width="8" height="8"/>
    <material name="cover" texture="checks" rgba="1 1 1 1"/>
    <material name="blue" rgba="0 0 1 1"/>
  </asset>
  <visual><headlight ambient=".3 .3 .3" diffuse="0 0 0" specular="0 0 0"/></visual>
  <worldbody>
    <light name="sun" type="directional" dir="0 0 -1" diffuse=".3 .3 .3" specular="0 0 0"/>
    <geom name="floor" type="plane" size="3 3 .1"/>
    <body name="box" pos="0 0 .3"><freejoint/>
      <geom name="box" type="box" size=".2 .3 .1" material="cover"/></body>
    <body name="pole" pos="1 1 .5"><joint name="pole" axis="0 1 0"/>
      <geom type="capsule" size=".05 .4" mass="2"/></body>
  </worldbody>
  <actuator><position name="pole" joint="pole" kp="40" kv="3"/></actuator>
</mujoco>
"""
EYE = {"position": [0, -1, 1.4], "target": [0, 0, 0.3], "width": 40, "height": 30}
LAMP = {"position": [0, 0, 2], "target": [0, 0, 0], "colour": [0.2, 0.2, 0.2]}
PACKS = {
    "mass": {"kind": "body", "names": ["box", "pole"], "field": "mass"},
    "gain": {"kind": "actuator", "names": "pole", "field": "servo_stiffness"},
    "drag": {"kind": "actuator", "names": ["pole"], "field": "servo_damping"},
    "inertia": {"kind": "body", "names": ["box", "pole"], "field": "inertia"},
    "pole_drag": {"kind": "actuator", "names": "pole", "field": "servo_damping"},
    "texture": {"kind": "material", "names": "cover", "field": "texid"},
    "material": {"kind": "geom", "names": "box", "field": "matid"},
}


def gl_works() -> bool:
    try:
        new_context(8, 8).free()
    except EngineError:
        return False
    return True


RENDERERS = [
    "rays",
    pytest.param("gl", marks=pytest.mark.skipif(not gl_works(), reason="OpenGL does not work")),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.xml"
    path.write_text(SCENE)
    return path


@pytest.fixture(scope="module", params=RENDERERS)
def drawn(scene: Path, request: pytest.FixtureRequest) -> Iterator[MujocoEngine]:
    """An engine whose camera uses one of the renderers; to make a context takes its time."""
    engine = build(scene, request.param)
    yield engine
    engine.close()


@pytest.fixture
def room(drawn: MujocoEngine) -> MujocoEngine:
    drawn.reset([0] * 3)
    drawn.advance(0)
    return drawn


def settings_of(scene: Path, renderer: str = "rays", **settings: Any) -> MujocoSettings:
    description = {
        "model": scene,
        "cameras": {"eye": {**EYE, "renderer": renderer}},
        "lights": {"lamp": LAMP, "sun": {"light": "sun"}},
        "packs": PACKS,
        **settings,
    }
    return validated(MujocoSettings, description, "engines.room")


def build(scene: Path, renderer: str = "rays", **settings: Any) -> MujocoEngine:
    engine = settings_of(scene, renderer, **settings).build("room", 3, 1)
    engine.reset([0] * 3)
    engine.advance(0)
    return engine


def test_an_inertia_follows_the_mass_and_a_reset_brings_both_back(scene: Path) -> None:
    engine = build(scene)
    before = engine.batch.expanded("body_inertia").copy()
    mass = engine.read("mass").copy()
    engine.write("mass", mass * [[2.0, 1.0]])
    engine.write("mass", mass[:1] * [[3.0, 0.5]], np.array([1]))
    now = engine.batch.expanded("body_inertia")
    np.testing.assert_allclose(now[0, 1:], before[0, 1:] * [[2], [1]])
    np.testing.assert_allclose(now[1, 1:], before[1, 1:] * [[3], [0.5]])
    engine.reset([0] * 3)
    np.testing.assert_array_equal(engine.batch.expanded("body_inertia"), before)
    np.testing.assert_array_equal(engine.read("mass"), mass)


def test_a_mass_comes_back_from_nothing_with_its_inertia(scene: Path) -> None:
    engine, other = build(scene), build(scene)
    mass, inertia = engine.read("mass").copy(), engine.read("inertia").copy()
    engine.write("mass", mass * [[0.0, 1.0]])
    assert (engine.read("inertia")[:, 0] == 0).all()
    np.testing.assert_array_equal(engine.read("inertia")[:, 1], inertia[:, 1])
    other.restore(engine.snapshot())
    for restored in (engine, other):
        restored.write("mass", mass * 3)
        np.testing.assert_allclose(restored.read("inertia"), inertia * 3)


def test_an_inertia_stays_in_proportion_over_many_masses(scene: Path) -> None:
    engine = build(scene)
    mass, inertia = engine.read("mass").copy(), engine.read("inertia").copy()
    rng = np.random.default_rng(1)
    for _ in range(2000):
        engine.write("mass", mass * rng.uniform(0.1, 10, (3, 2)))
    engine.write("mass", mass)
    np.testing.assert_allclose(engine.read("inertia"), inertia, rtol=4e-16)


def test_a_mass_takes_an_inertia_along_that_was_written_after_it(scene: Path) -> None:
    engine, other = build(scene), build(scene)
    mass, own = engine.read("mass").copy(), [[[1.0, 2.0, 2.5], [0.5, 0.5, 0.7]]]
    engine.write("mass", mass * 2)
    engine.write("inertia", own, np.array([1]))
    engine.write("mass", mass)
    np.testing.assert_allclose(engine.read("inertia")[1], np.array(own[0]) / 2)
    other.restore(engine.snapshot())
    for restored in (engine, other):
        restored.write("mass", mass * 1.1)
    np.testing.assert_array_equal(engine.read("inertia"), other.read("inertia"))
    np.testing.assert_allclose(engine.read("inertia")[1], np.array(own[0]) / 2 * 1.1)


def test_all_packs_of_a_servo_tell_the_same_damping(scene: Path) -> None:
    engine = build(scene)
    engine.write("pole_drag", [5.0], np.array([1]))
    assert engine.read("drag").tolist() == [[3.0], [5.0], [3.0]]
    engine.write("drag", engine.read("drag") * 2)
    assert engine.read("pole_drag").tolist() == [6.0, 10.0, 6.0]
    robot = {"robot": "scara", "packs": {"drag": {**PACKS["drag"], "names": "joint2"}}}
    arm = validated(MujocoSettings, robot, "engines.arm").build("arm", 2, 1)
    damping = arm.read("servo_damping").copy()
    arm.write("drag", [7.0], np.array([1]))
    assert arm.read("servo_damping").tolist() == [
        damping[0].tolist(),
        [damping[1, 0], 7.0, damping[1, 2]],
    ]
    kept = arm.snapshot()
    arm.reset([0] * 2)
    np.testing.assert_array_equal(arm.read("servo_damping"), damping)
    arm.restore(kept)
    assert arm.read("servo_damping")[1, 1] == 7.0


def test_servo_gains_are_those_of_a_model_that_was_written_so(scene: Path) -> None:
    engine = build(scene)
    assert engine.read("gain").tolist() == [40.0] * 3
    assert engine.read("drag").tolist() == [[3.0]] * 3
    engine.write("gain", [60.0], np.array([1]))
    engine.write("drag", [[5.0]], np.array([1]))
    engine.write("ctrl", 0.4)
    engine.advance(100_000_000)
    model = mujoco.MjModel.from_xml_string(SCENE.replace('kp="40" kv="3"', 'kp="60" kv="5"'))
    data = mujoco.MjData(model)
    data.ctrl[:] = 0.4
    mujoco.mj_step(model, data, 50)
    np.testing.assert_allclose(engine.read("qpos")[1], data.qpos, atol=1e-12)
    assert (engine.read("qpos")[0] != data.qpos).any()
    engine.reset([0] * 3)
    assert engine.read("gain").tolist() == [40.0] * 3


def test_each_instance_shows_its_own_lights(room: MujocoEngine) -> None:
    before = room.read("eye.rgb").astype(float)
    room.write("lamp.colour", [[0.6, 0, 0]], np.array([0]))
    room.write("lamp.position", [[1.5, 0, 0.4]], np.array([1]))
    room.write("sun.direction", [[2.0, 0, -2.0]], np.array([2]))
    room.advance(0)
    change = room.read("eye.rgb") - before
    red, green = change[0, ..., 0], change[0, ..., 1]
    assert red.max() > 20
    assert green.max() <= 0
    for other in (1, 2):
        assert np.abs(change[other]).max() > 10, other
    np.testing.assert_allclose(room.read("sun.direction")[2], [0.5**0.5, 0, -(0.5**0.5)])
    room.reset([0] * 3)
    room.advance(0)
    np.testing.assert_array_equal(room.read("eye.rgb"), before)


def test_each_instance_shows_its_own_materials(room: MujocoEngine) -> None:
    before = room.read("eye.rgb").astype(int)
    room.write("material", [1], np.array([1]))
    textures = room.read("texture").copy()
    swapped = textures[:1]
    swapped[swapped >= 0] = 1  # the texture "plain", whatever it is used for
    room.write("texture", swapped, np.array([2]))
    room.advance(0)
    shown = room.read("eye.rgb").astype(int)
    box = room.read("eye.mask") == 1
    blue = shown[1][box[1]]
    assert (blue[:, 2] > blue[:, 0]).all()
    same = (shown[2] == before[2]).all()
    is_drawn = room.renderers()["eye"] == "gl"
    assert same != is_drawn  # rays see no textures
    if is_drawn:
        red = shown[2][box[2]]
        assert (red[:, 0] > 2 * red[:, 1]).mean() > 0.9


def test_cameras_are_moved_turned_and_zoomed_in_each_instance(room: MujocoEngine) -> None:
    pose, K = room.read("eye.pose")[0].copy(), room.read("eye.intrinsics")[0].copy()
    assert (room.read("eye.rotation") == 0).all()
    room.write("eye.position", [[0, -1, 1.5]], np.array([0]))
    room.write("eye.rotation", [[0, 0.2, 0]], np.array([1]))
    room.write("eye.fovy", [30.0], np.array([2]))
    room.advance(0)
    depth = room.read("eye.depth")
    np.testing.assert_allclose(room.read("eye.pose")[0, :3, 3], pose[:3, 3] + [0, 0, 0.1])
    # about y, which is down, positive turns look to the right
    turned = pose[:3, :3].T @ room.read("eye.pose")[1, :3, :3]
    expected = [[np.cos(0.2), 0, np.sin(0.2)], [0, 1, 0], [-np.sin(0.2), 0, np.cos(0.2)]]
    np.testing.assert_allclose(turned, expected, atol=1e-12)
    zoom = room.read("eye.intrinsics")[2, 0, 0] / K[0, 0]
    np.testing.assert_allclose(zoom, np.tan(np.radians(22.5)) / np.tan(np.radians(15)), rtol=1e-6)
    assert len({image.tobytes() for image in depth}) == 3
    kept = room.snapshot()
    room.reset([0] * 3)
    assert (room.read("eye.rotation") == 0).all()
    room.restore(kept)
    np.testing.assert_array_equal(room.read("eye.rotation")[1], [0, 0.2, 0])
    np.testing.assert_array_equal(room.read("eye.depth"), depth)


def test_what_is_written_for_each_instance_conforms(scene: Path) -> None:
    drive = {"ctrl": (-1.0, 1.0), "mass": (0.5, 3.0), "gain": (20.0, 60.0)}
    drive |= {"lamp.position": (-1.0, 1.0), "eye.rotation": (-0.3, 0.3)}
    settings = settings_of(
        scene, cameras={"eye": {**EYE, "width": 8, "height": 6, "modalities": ["depth"]}}
    )
    case = Case(lambda n, threads: settings.build("room", n, threads), drive)
    check_engine(case, CHECKS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lights": {"moon": {"light": "moon"}}}, "unknown light 'moon'. Valid: sun"),
        ({"lights": {"sun": LAMP}}, "has a light 'sun' already"),
        ({"lights": {"lamp": {**LAMP, "body": "roof"}}}, "unknown body 'roof'"),
        ({"lights": {"eye": LAMP}}, "'eye' is the name of a camera already"),
        ({"lights": {"lamp": {"light": "sun", "colour": [1, 1, 1]}}}, "'colour' is of a light of"),
        ({"lights": {"lamp": {"position": [0, 0, 1]}}}, "give either 'light' or 'position'"),
        ({"lights": {"lamp": {**LAMP, "target": [0, 0, 2]}}}, "are the same point"),
    ],
)
def test_a_light_that_cannot_be_is_told(scene: Path, settings: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(scene, **settings)


def test_gains_are_of_position_servos(tmp_path: Path) -> None:
    path = tmp_path / "motor.xml"
    path.write_text(
        SCENE.replace(
            '<position name="pole" joint="pole" kp="40" kv="3"/>',
            '<motor name="pole" joint="pole"/>',
        )
    )
    with pytest.raises(UserError, match="'servo_stiffness' is of position servos only"):
        build(path, packs={"gain": PACKS["gain"]})
