import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troupe.core import EngineError, UserError
from troupe.core.settings import validated
from troupe.engines.conformance import CHECKS, Case, check_engine, packs
from troupe.engines.mujoco import MujocoEngine
from troupe.engines.mujoco_camera_context import new_context
from troupe.engines.mujoco_camera_settings import MODALITIES, CameraEngine
from troupe.engines.mujoco_settings import MujocoSettings

STEP_NS = 20_000_000
SCENE = """
<mujoco>
  <asset>
    <mesh name="wedge" vertex="0 0 0 .2 0 0 0 .2 0 0 0 .2"/>
    <material name="red" rgba="1 0 0 1"/>
  </asset>
  <worldbody>
    <light name="sun" type="directional" pos="0 0 3" dir="0 0 -1" castshadow="false"
           diffuse=".5 .5 .5" specular="0 0 0"/>
    <camera name="side" pos="0 -1.2 .8" xyaxes="1 0 0 0 .6 .8"/>
    <camera name="flat" pos="0 0 2" projection="orthographic"/>
    <geom name="floor" type="plane" size="3 3 .1"/>
    <geom name="hidden" group="3" type="box" size="2 .01 2" pos="0 -1 1"/>
    <geom name="clear" rgba="1 1 1 0" type="box" size="2 .01 2" pos="0 -.9 1"/>
    <body name="box" pos="-.3 0 .2"><freejoint/>
      <geom name="box" type="box" size=".1 .1 .1" rgba="0 1 0 1"/></body>
    <body name="ball" pos="0 0 .2"><freejoint/><geom size=".1" material="red"/></body>
    <body name="capsule" pos=".3 0 .3"><freejoint/><geom type="capsule" size=".06 .1"/></body>
    <body name="can" pos="-.2 .3 .2" euler="70 0 30"><freejoint/>
      <geom type="cylinder" size=".07 .1"/></body>
    <body name="wedge" pos=".1 .3 .2"><freejoint/><geom type="mesh" mesh="wedge"/></body>
    <body name="arm" pos="0 -.3 .5">
      <joint name="turn" axis="0 0 1"/>
      <geom size=".02" mass=".1" pos=".2 0 0"/>
      <camera name="hand" pos=".2 0 -.05" xyaxes="1 0 0 0 1 0" fovy="100"/>
    </body>
  </worldbody>
  <actuator><motor name="turn" joint="turn" ctrlrange="-1 1"/></actuator>
</mujoco>
"""
Check = Callable[[Case], None]


def gl_works() -> bool:
    try:
        new_context(8, 8).free()
    except EngineError:
        return False
    return True


needs_gl = pytest.mark.skipif(not gl_works(), reason="OpenGL does not work on this machine")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.xml"
    path.write_text(SCENE)
    return path


def build(scene: Path, num_instances: int = 2, **settings: Any) -> MujocoEngine:
    parsed = validated(MujocoSettings, {"model": scene, **settings}, "engines.room")
    engine = parsed.build("room", num_instances, 1)
    engine.reset([0] * num_instances)
    engine.advance(0)
    return engine


def side(**settings: Any) -> dict[str, Any]:
    return {"eye": {"camera": "side", "width": 48, "height": 32, "renderer": "rays", **settings}}


def bodies(engine: MujocoEngine, mask: np.ndarray) -> set[str]:
    return {engine.mask_names()[i] for i in np.unique(mask) if i >= 0}


def test_packs_are_images_with_units_and_bounds(scene: Path) -> None:
    engine = build(scene, cameras=side())
    shapes = {n: s.shape for n, s in engine.spec.outputs.items() if n.startswith("eye.")}
    assert shapes == {
        "eye.rgb": (32, 48, 3),
        "eye.depth": (32, 48),
        "eye.mask": (32, 48),
        "eye.normal": (32, 48, 3),
        "eye.pose": (4, 4),
        "eye.intrinsics": (3, 3),
        "eye.position": (3,),
        "eye.rotation": (3,),
        "eye.fovy": (),
    }
    for name in shapes:
        values, spec = engine.read(name), engine.spec.outputs[name]
        assert values.shape == (2, *spec.shape)
        assert values.dtype == spec.dtype
        assert (values >= spec.low - 1e-6).all()
        assert (values <= spec.high + 1e-6).all()
    assert engine.spec.outputs["eye.depth"].unit == "m"
    assert isinstance(engine, CameraEngine)
    assert engine.renderers() == {"eye": "rays"}


def test_only_the_modalities_that_are_named_are_offered(scene: Path) -> None:
    outputs = build(scene, cameras=side(modalities=["depth"])).spec.outputs
    images = {name for name in outputs if name.rpartition(".")[2] in MODALITIES}
    assert images == {"eye.depth"}


def test_a_depth_a_pose_and_the_intrinsics_give_the_point_that_was_hit(scene: Path) -> None:
    cameras = {
        "top": {"position": [0.0, 0.1, 1.0], "target": [0.0, 0.1, 0.0], "width": 33, "height": 33}
    }
    engine = build(scene, cameras=cameras)
    depth, mask = engine.read("top.depth")[0], engine.read("top.mask")[0]
    K, T = engine.read("top.intrinsics")[0], engine.read("top.pose")[0]
    ball = next(i for i, name in engine.mask_names().items() if name == "ball")
    rows, columns = np.nonzero(mask == ball)
    pixels = np.stack([columns, rows, np.ones(len(rows))])
    points = T[:3, :3] @ (np.linalg.inv(K) @ pixels * depth[rows, columns]) + T[:3, 3:]
    radii = np.linalg.norm(points - np.array([[0.0], [0.0], [0.2]]), axis=0)
    np.testing.assert_allclose(radii, 0.1, atol=1e-6)
    # the floor is 1 m below the camera, everywhere: depth is along the optical axis
    np.testing.assert_allclose(depth[mask == 0], 1.0, atol=1e-6)
    # it looks down, so what faces it points backward; y is up in the image, so down is -y
    np.testing.assert_allclose(
        engine.read("top.normal")[0][mask == 0], [[0, 0, -1]] * sum((mask == 0).ravel()), atol=1e-6
    )
    np.testing.assert_allclose(T[:3, :3], np.diag([1, -1, -1]), atol=1e-12)
    # half of the 33 pixels' height is tan(45°/2) of the distance
    np.testing.assert_allclose(K[0, 0], 16.5 / np.tan(np.pi / 8))
    assert K[0, 2] == K[1, 2] == 16


def test_nothing_is_0_in_depth_and_minus_1_in_masks(scene: Path) -> None:
    cameras = {"sky": {"position": [0.0, 0.0, 3.0], "target": [0.0, 0.0, 9.0]}}
    engine = build(scene, cameras=cameras)
    assert (engine.read("sky.mask") == -1).all()
    for name in ("depth", "normal", "rgb"):
        assert not engine.read(f"sky.{name}").any()


def test_invisible_geoms_are_not_seen(scene: Path) -> None:
    engine = build(scene, cameras=side())
    shown = bodies(engine, engine.read("eye.mask"))
    assert shown == {"world", "box", "ball", "capsule", "can", "wedge", "arm"}
    # both invisible walls stand 0.3 m before the camera
    assert engine.read("eye.depth").min() > 0.5


@needs_gl
def test_rays_and_opengl_agree(scene: Path) -> None:
    size = {"camera": "side", "width": 96, "height": 72}
    cameras = {n: {**size, "renderer": n} for n in ("rays", "gl")}
    engine = build(scene, num_instances=2, cameras=cameras)
    engine.write("qpos", np.append(engine.read("qpos")[1, :-1], 1.0), np.array([1]))
    engine.advance(5 * STEP_NS)
    assert engine.renderers() == {"rays": "rays", "gl": "gl"}
    mask, drawn = engine.read("rays.mask"), engine.read("gl.mask")
    for body in np.unique(mask):
        union = (mask == body) | (drawn == body)
        assert ((mask == body) & (drawn == body)).sum() / union.sum() > 0.97
    same = (mask == drawn) & (mask >= 0)
    difference_m = np.abs(engine.read("rays.depth") - engine.read("gl.depth"))[same]
    assert np.median(difference_m) < 1e-4
    assert np.quantile(difference_m, 0.99) < 5e-3
    cosine = (engine.read("rays.normal") * engine.read("gl.normal")).sum(axis=-1)[same]
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    assert np.median(angle) < 1
    assert np.quantile(angle, 0.9) < 15
    colours = [engine.read(f"{name}.rgb").astype(int) for name in ("rays", "gl")]
    assert np.abs(colours[0] - colours[1]).mean() < 5
    engine.close()


@needs_gl
def test_opengl_leaves_the_environment_alone(scene: Path) -> None:
    before = dict(os.environ)
    build(scene, cameras=side(renderer="gl")).close()
    assert dict(os.environ) == before


@pytest.mark.parametrize("renderer", ["rays", pytest.param("gl", marks=needs_gl)])
def test_instances_show_model_fields_of_their_own(scene: Path, renderer: str) -> None:
    bindings = {
        "colour": {"kind": "geom", "names": "box", "field": "rgba"},
        "eye_place": {"kind": "camera", "names": "side", "field": "pos"},
        "zoom": {"kind": "camera", "names": "side", "field": "fovy"},
        "sun": {"kind": "light", "names": "sun", "field": "active"},
    }
    engine = build(scene, num_instances=5, cameras=side(renderer=renderer), packs=bindings)
    engine.write("colour", [0, 0, 1, 1], np.array([1]))
    engine.write("eye_place", [0.1, -1.2, 0.8], np.array([2]))
    engine.write("zoom", 20.0, np.array([3]))
    engine.write("sun", False, np.array([4]))
    engine.advance(0)
    rgb, depth = engine.read("eye.rgb").astype(int), engine.read("eye.depth")
    box = engine.read("eye.mask")[0] == 1
    plain, blue = rgb[0][box].mean(axis=0), rgb[1][box].mean(axis=0)
    assert plain[1] > plain[2] + 30
    assert blue[2] > blue[1] + 30
    assert np.array_equal(depth[0], depth[1])
    np.testing.assert_allclose(engine.read("eye.pose")[2, :3, 3], [0.1, -1.2, 0.8])
    assert not np.array_equal(depth[0], depth[2])
    ratio = engine.read("eye.intrinsics")[[0, 3], 0, 0]
    np.testing.assert_allclose(
        ratio[1] / ratio[0], np.tan(np.pi / 8) / np.tan(np.radians(10)), rtol=1e-6
    )
    assert (engine.read("eye.mask")[3] == 0).sum() != (engine.read("eye.mask")[0] == 0).sum()
    assert rgb[4].sum() < 0.8 * rgb[0].sum()
    engine.close()


def test_some_instances_are_rendered_as_among_all(scene: Path) -> None:
    engine = build(scene, num_instances=4, cameras=side())
    engine.write("qpos", np.append(engine.read("qpos")[2, :-1], 2.0), np.array([2]))
    engine.advance(STEP_NS)
    wanted = np.array([3, 2, 2])
    some = engine.render("eye", ["depth", "rgb"], wanted)
    assert list(some) == ["depth", "rgb"]
    for modality, image in some.items():
        assert np.array_equal(image, engine.read(f"eye.{modality}")[wanted])
        assert np.array_equal(engine.render("eye", [modality], wanted)[modality], image)
    assert not np.array_equal(some["depth"][0], some["depth"][1])
    assert engine.render("eye", ["mask"], np.array([], np.int64))["mask"].shape == (0, 32, 48)


@pytest.mark.parametrize("renderer", ["rays", pytest.param("gl", marks=needs_gl)])
def test_images_and_poses_follow_writes_resets_and_restores(scene: Path, renderer: str) -> None:
    cameras = {"hand": {"camera": "hand", "width": 16, "height": 16, "renderer": renderer}}
    engine = build(scene, cameras=cameras)
    first, pose = engine.read("hand.depth"), engine.read("hand.pose")
    assert engine.read("hand.depth") is first
    turned = np.append(engine.read("qpos")[0, :-1], 0.7)
    snapshot = engine.snapshot()
    engine.write("qpos", turned, np.array([1]))
    before = engine.read("hand.pose"), engine.read("hand.depth")
    assert np.array_equal(before[0][0], pose[0])
    np.testing.assert_allclose(before[0][1, :2, 3], [0.2 * np.cos(0.7), 0.2 * np.sin(0.7) - 0.3])
    engine.advance(0)
    after = engine.read("hand.pose"), engine.read("hand.depth")
    np.testing.assert_allclose(before[0], after[0], atol=1e-12)
    np.testing.assert_allclose(before[1], after[1], atol=1e-5)
    assert not np.allclose(after[1][1], first[1])
    engine.restore(snapshot)
    assert np.array_equal(engine.read("hand.depth"), first)
    engine.advance(5 * STEP_NS)
    assert not np.array_equal(engine.read("hand.depth"), first)
    engine.reset([0, 0])
    np.testing.assert_allclose(engine.read("hand.depth"), first, atol=1e-5)
    engine.close()


@pytest.mark.parametrize("renderer", ["rays", pytest.param("gl", marks=needs_gl)])
def test_to_look_changes_nothing(scene: Path, renderer: str) -> None:
    looking = build(scene, num_instances=3, cameras=side(renderer=renderer))
    blind = build(scene, num_instances=3)
    rng = np.random.default_rng(0)
    for step in range(15):
        command = rng.uniform(-1, 1, (3, 1))
        for engine in (looking, blind):
            engine.write("ctrl", command)
        looking.read("eye.depth")
        for engine in (looking, blind):
            engine.advance(STEP_NS)
        looking.render("eye", ["normal", "rgb"], np.array([step % 3]))
        for name, values in blind.snapshot().items():
            assert np.array_equal(values, looking.snapshot()[name])
        for name, values in packs(blind).items():
            assert np.array_equal(values, looking.read(name)), f"{name} differs at step {step}"
    looking.close()


def test_to_look_changes_nothing_of_a_robot() -> None:
    camera = {"position": [1.0, 0.0, 0.5], "target": [0.0, 0.0, 0.5], "width": 8, "height": 8}
    engines = [
        validated(MujocoSettings, {"robot": "mara", **extra}).build("arm", 2, 1)
        for extra in ({}, {"cameras": {"front": camera}})
    ]
    for step in range(6):
        for engine in engines:
            engine.write("joint_target", np.full((2, 6), 0.1 * step))
            engine.advance(STEP_NS)
        assert engines[1].read("front.mask").any()
    for name, values in packs(engines[0]).items():
        assert np.array_equal(values, engines[1].read(name)), f"{name} differs"


def test_a_camera_on_a_body_moves_with_it(scene: Path) -> None:
    own = {"position": [0.0, 0.0, 0.3], "target": [0.0, 0.0, 0.0], "body": "ball"}
    engine = build(scene, cameras={"above": {**own, "width": 8, "height": 8}})
    np.testing.assert_allclose(engine.read("above.pose")[:, :3, 3], [[0, 0, 0.5]] * 2)
    engine.advance(5 * STEP_NS)
    assert (engine.read("above.pose")[:, 2, 3] < 0.49).all()
    assert bodies(engine, engine.read("above.mask")) >= {"ball"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_engine_with_cameras_conforms(scene: Path, check: Check) -> None:
    cameras = {"hand": {"camera": "hand", "width": 6, "height": 5}, **side(width=12, height=8)}
    parsed = validated(MujocoSettings, {"model": scene, "cameras": cameras})
    case = Case(lambda instances, threads: parsed.build("room", instances, threads))
    check_engine(case, (check,))


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ({"camera": "sid"}, ".camera: unknown camera 'sid'. Did you mean 'side'? Valid: "),
        ({"camera": "flat"}, ".camera: 'flat' is orthographic; valid: "),
        ({}, ": give either 'camera' or 'position' and 'target'"),
        ({"camera": "side", "fovy": 30}, ": 'fovy' is of a camera of its own, but "),
        (
            {"position": [0, 0, 1], "target": [0, 0, 0], "body": "bal"},
            ".body: unknown body 'bal'. Did you mean 'ball'? Valid: ",
        ),
        ({"position": [0, 0, 1], "target": [0, 0, 1]}, ": 'position' and 'target' are the same"),
        (
            {"position": [0, 0, 1], "target": [0, 0, 0], "up": [0, 0, 1]},
            ": 'up' is (0.0, 0.0, 1.0)",
        ),
        (
            {"camera": "side", "modalities": ["deep"]},
            ".modalities.0: Input should be 'rgb', 'depth'",
        ),
        ({"camera": "side", "modalities": []}, ".modalities: "),
        ({"camera": "side", "width": 0}, ".width: "),
        (
            {"camera": "side", "renderer": "ray"},
            ".renderer: Input should be 'auto', 'rays' or 'gl'",
        ),
        ({"camera": "side", "widht": 8}, ": unknown key 'widht'. Did you mean 'width'?"),
    ],
)
def test_wrong_cameras_are_refused(scene: Path, camera: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        build(scene, cameras={"eye": camera})
    assert str(raised.value).startswith(f"engines.room.cameras.eye{message}")


def test_a_name_that_the_model_has_is_refused(scene: Path) -> None:
    own = {"position": [0, 0, 1], "target": [0, 0, 0]}
    with pytest.raises(UserError, match="the model has a camera 'side' already"):
        build(scene, cameras={"side": own})


def test_unknown_cameras_and_modalities_are_refused(scene: Path) -> None:
    engine = build(scene, cameras=side())
    with pytest.raises(UserError, match=r"room: unknown camera 'ey'. Did you mean 'eye'\?"):
        engine.render("ey", ["rgb"])
    with pytest.raises(UserError, match=r"unknown modality 'deep'.*Valid: depth, mask, normal"):
        engine.render("eye", ["deep"])
    with pytest.raises(UserError, match=r"unknown camera 'eye'\. Valid: none"):
        build(scene).render("eye", ["rgb"])


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        pytest.param("", {"small": "rays", "large": "gl", "colours": "rays"}, marks=needs_gl),
        ("off", {"small": "rays", "large": "rays", "colours": "rays"}),
    ],
)
def test_auto_takes_the_faster_renderer_that_works(
    scene: Path, switch: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", switch)
    large = {"camera": "side", "width": 128, "height": 128}
    cameras = {
        "small": {"camera": "side", "modalities": ["depth"]},
        "large": {**large, "modalities": ["depth", "mask"]},
        "colours": large,
    }
    engine = build(scene, num_instances=1, cameras=cameras)
    assert engine.renderers() == expected
    assert engine.read("large.depth").any()
    engine.close()


def test_opengl_that_is_off_is_said(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "off")
    with pytest.raises(UserError, match=r"cameras.eye.renderer: OpenGL does not work here"):
        build(scene, cameras=side(renderer="gl"))
