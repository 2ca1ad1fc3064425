"""Things in a tray: none in another, none in the tray, whatever is drawn."""

import mujoco
import numpy as np
import pytest

from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    made = Simulation(load_experiment("iiwa-grasp"), 64, seed=3, num_threads=1)
    made.reset()
    return made


def contacts(simulation: Simulation) -> list[float]:
    """Distances, m, of all pairs that touch or overlap and have a thing in them."""
    batch = simulation.loop.engines["arm"].batch
    found = []
    for i in range(simulation.num_instances):
        model, data = batch.get_model(i), batch.get_data(i)
        mujoco.mj_forward(model, data)
        for contact in data.contact:
            bodies = [model.body(model.geom_bodyid[geom]).name for geom in contact.geom]
            if any(name.startswith("object") for name in bodies):
                found.append(float(contact.dist))
    return found


def test_nothing_overlaps_when_an_episode_begins(simulation: Simulation) -> None:
    assert min(contacts(simulation), default=0.0) > -1e-6


def test_things_have_settled_in_the_tray_when_the_first_action_counts(
    simulation: Simulation,
) -> None:
    world, task = simulation.world, simulation.task
    while not task.decides(world).any():
        simulation.step(np.zeros((64, 4)))
    here = world.arrays["tray_object"] >= 0
    speed = np.linalg.norm(world.read("arm.object_velocity")[..., :3], axis=2)[here]
    assert np.quantile(speed, 0.95) < 0.02
    position = world.read("arm.object_pose")[..., :3][here]
    inside = (np.abs(position[:, :2] - [0.6, 0.0]) < [0.15, 0.19]).all(axis=1)
    assert inside.mean() > 0.99
    distances = np.array(contacts(simulation))
    assert distances.min() > -5e-3  # where two are still rolling over each other
    assert np.quantile(distances, 0.01) > -1.5e-3
