"""The user's own meshes lie in the tray as others do: here those that come with PyBullet."""

from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml

from troupe.core.errors import UserError
from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation
from troupe.tasks.grasp.objects import NUM_OBJECTS, NUM_TRAIN

FOUND = find_spec("pybullet_data")
DATA = Path(FOUND.submodule_search_locations[0])
BLOCKS = [str(DATA / "random_urdfs" / name) for name in ("000", "001", "002")]
DUCK = str(DATA / "duck.obj")


def simulate(
    num_instances: int = 4, *, meshes=BLOCKS, scale: float = 0.015, objects="meshes", more=()
):
    settings = [
        f"engines.arm.scene.meshes={meshes}",
        f"engines.arm.scene.mesh_scale={scale}",
        f"task.objects={objects}",
        "engines.arm.cameras={}",
    ]
    experiment = load_experiment("iiwa-grasp", [*settings, *more])
    made = Simulation(experiment, num_instances, seed=2, num_threads=1)
    made.reset()
    return made


def test_only_meshes_lie_in_the_tray_and_come_to_rest_there() -> None:
    simulation = simulate()
    world, task = simulation.world, simulation.task
    for i in range(simulation.num_instances):
        draws = task.draws(world, i)
        assert set(draws["objects"]) <= {NUM_OBJECTS + n for n in range(3)}
        assert set(draws["kinds"].split(",")) <= {"000.obj", "001.obj", "002.obj"}
    batch = simulation.loop.engines["arm"].batch
    for i in range(simulation.num_instances):
        model, data = batch.get_model(i), batch.get_data(i)
        mujoco.mj_forward(model, data)
        for contact in data.contact:
            names = [model.body(model.geom_bodyid[geom]).name for geom in contact.geom]
            assert contact.dist > -1e-6 or not any(name.startswith("object") for name in names)
    while not task.decides(world).any():
        simulation.step(np.zeros((4, 4)))
    here = world.arrays["tray_object"] >= 0
    height = world.read("arm.object_pose")[..., 2][here]
    assert ((height > 0.015) & (height < 0.15)).all()


def test_their_mass_properties_are_mujocos_own() -> None:
    simulation = simulate(1)
    thing = simulation.task._contents.shown[1]
    vertices = " ".join(str(v) for v in thing.solid.vertices.ravel())
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><asset><mesh name="m" vertex="{vertices}"/></asset><worldbody><body>'
        '<freejoint/><geom type="mesh" mesh="m" density="1000"/></body></worldbody></mujoco>'
    )
    np.testing.assert_allclose(model.body_mass[1], 1000 * thing.solid.volume_m3, rtol=1e-5)
    inertia = thing.solid.inertia_m2 * model.body_mass[1]
    np.testing.assert_allclose(model.body_inertia[1], inertia, rtol=1e-4)


def test_meshes_may_lie_beside_things_of_the_catalog() -> None:
    simulation = simulate(6, objects="[test, meshes]", more=["task.kinds=[box]"])
    numbers = [task_thing.number for task_thing in simulation.task._contents.shown]
    assert min(numbers) >= NUM_TRAIN
    assert numbers[-3:] == [NUM_OBJECTS, NUM_OBJECTS + 1, NUM_OBJECTS + 2]
    kinds = ",".join(simulation.task.draws(simulation.world, i)["kinds"] for i in range(6))
    assert "box" in kinds
    assert ".obj" in kinds


def test_meshes_are_found_beside_the_experiments_file(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "block.obj").write_bytes((Path(BLOCKS[0]) / "000.obj").read_bytes())
    experiment = load_experiment("iiwa-grasp", ["task.objects=meshes"]).resolved()
    experiment["engines"]["arm"]["scene"] |= {"meshes": "mine/block.obj", "mesh_scale": 0.015}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(experiment))
    monkeypatch.chdir("/")
    loaded = load_experiment(str(tmp_path / "mine.yaml"))
    assert loaded.engines["arm"].scene.meshes == (tmp_path / "mine" / "block.obj",)


TOO_LARGE = (
    "engines.arm.scene: meshes: 'duck.obj' is 0.114 x 0.144 x 0.189 m large and reaches 0.104 m "
    "from its middle, more than 0.1 m; with mesh_scale: 0.096 it would fit."
)
TOO_WIDE = (
    "engines.arm.scene.meshes: 'duck.obj' is 0.103 x 0.13 x 0.17 m large and 0.1 m wide where it "
    "is narrowest; the gripper opens 0.08 m, of which it needs 0.004."
)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"meshes": [DUCK], "scale": 0.1}, TOO_LARGE),
        ({"meshes": [DUCK], "scale": 0.09}, TOO_WIDE),
        ({"meshes": []}, "task.objects: 'meshes' wants some in the scene; set engines.arm.scene.m"),
        ({"meshes": "[nowhere]"}, "engines.arm.scene.meshes.0: there is no file or folder 'nowher"),
        ({"objects": "mesh"}, "task.objects"),
        (
            {"more": ["engines.arm.scene.mesh_scal=2"]},
            "engines.arm.scene: unknown key 'mesh_scal'. Did you mean 'mesh_scale'? Valid: mesh_s",
        ),
    ],
)
def test_meshes_that_do_not_fit_are_refused(settings, message: str) -> None:
    with pytest.raises(UserError) as caught:
        simulate(1, **settings)
    assert message in str(caught.value)
