"""The example that learns to grasp, with fewer attempts than its page."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from troupe.episodes.store import open_store
from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.collecting.crew import collect

EXAMPLE = Path(__file__).parents[2] / "examples" / "learn_to_grasp.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The example's functions."""
    spec = importlib.util.spec_from_file_location("learn_to_grasp", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_looks_where_the_hand_closes(example: ModuleType) -> None:
    simulation = Simulation(
        load_experiment("iiwa-grasp", ["task.image=overhead.depth"]), 8, seed=5, num_threads=1
    )
    simulation.reset()
    while not simulation.task.decides(simulation.world).any():
        simulation.step(np.zeros((8, 4)))
    # simulated time at which the example acts
    assert simulation.episode_step[0] * simulation.loop.step_ns == example.SETTLED_NS
    depth = simulation.observe()
    pose = simulation.world.read("arm.object_pose")[:, 0]
    grasp = np.zeros((8, 2, 4))
    grasp[:, :, :2] = pose[:, None, :2]
    grasp[:, 1, 3] = np.pi / 2
    seen = example.patches(depth, grasp)
    middle = slice(example.PATCH // 2 - 1, example.PATCH // 2 + 1)
    heights_m = 0.05 * seen[:, :, middle, middle].max(axis=(2, 3))
    # something stands there, about twice as high as its middle
    assert (heights_m > 0.5 * (pose[:, None, 2] - example.FLOOR_M)).all()
    # a quarter turn turns what is seen
    np.testing.assert_allclose(seen[:, 1], np.rot90(seen[:, 0], -1, axes=(1, 2)), atol=0.15)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_chosen_attempts_succeed_more_than_twice_as_often_as_random_ones(
    example: ModuleType, tmp_path: Path
) -> None:
    place = str(tmp_path / "grasps")
    collect(load_experiment("iiwa-grasp"), place, 1500, spool=tmp_path / "spool")
    assert open_store(place).num_episodes == 1500
    learned = example.train(*example.read(place))
    random, chosen = example.success_rate(None, 90), example.success_rate(learned, 90)
    assert chosen > 2 * random
    assert chosen > 0.15
