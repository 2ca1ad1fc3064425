import numpy as np

from troupe.engines.slowness import SlowEngine
from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation

FAST = ["engines.arm.step_time.mean=1ns", "task.episode=200ms"]


def tail(num_instances: int, first_instance: int = 0) -> Simulation:
    experiment = load_experiment("scara-reach-tail", FAST)
    simulation = Simulation(experiment, num_instances, seed=3, first_instance=first_instance)
    simulation.reset()
    return simulation


def run(simulation: Simulation, num_steps: int = 15) -> list[np.ndarray]:
    observations = []
    for _ in range(num_steps):
        step = simulation.step(np.full((simulation.num_instances, 3), 0.5, np.float32))
        done = np.flatnonzero(step.terminated | step.truncated)
        if len(done):
            simulation.reset(done)
        observations.append(simulation.observe())
    return observations


def times_taken(simulation: Simulation, num_steps: int = 15) -> list[list[float]]:
    """Step, and look at what each instance's next step takes before each."""
    engine = simulation.loop.engines["arm"]
    assert isinstance(engine, SlowEngine)
    taken = []
    for _ in range(num_steps):
        before = engine.times.snapshot()
        ids = range(simulation.num_instances)
        taken.append([engine.times.take(np.array([i])) for i in ids])
        engine.times.restore(before, None)
        run(simulation, 1)
    return taken


def test_what_is_simulated_does_not_depend_on_the_time_it_takes() -> None:
    fast = Simulation(load_experiment("scara-reach", ["task.episode=200ms"]), 4, seed=3)
    fast.reset()
    assert np.array_equal(run(fast), run(tail(4)))


def test_the_times_of_an_instance_are_the_same_in_any_worker() -> None:
    whole = times_taken(tail(4))
    assert [row[:1] for row in whole] == times_taken(tail(1))
    assert [row[1:] for row in whole] == times_taken(tail(3, first_instance=1))


def test_the_times_go_on_from_a_snapshot() -> None:
    simulation = tail(2)
    run(simulation, 4)
    snapshot = simulation.snapshot()
    expected = times_taken(simulation)
    other = tail(2)
    other.restore(snapshot)
    assert times_taken(other) == expected


def test_a_slow_worker_is_a_factor_of_its_simulation() -> None:
    simulation = Simulation(load_experiment("scara-reach-20ms"), 1, slowdown=10.0)
    engine = simulation.loop.engines["arm"]
    assert isinstance(engine, SlowEngine)
    assert engine.slowdown == 10.0


def test_policies_are_measured_at_full_speed() -> None:
    simulation = Simulation(load_experiment("scara-reach-tail").as_measured(), 1)
    assert not isinstance(simulation.loop.engines["arm"], SlowEngine)


def test_uneven_episodes_end_at_the_target() -> None:
    simulation = Simulation(load_experiment("scara-reach-uneven"), 2)
    simulation.reset()
    still = np.zeros((2, 3), np.float32)
    assert not simulation.step(still).terminated.any()
    world = simulation.world
    world.arrays["target_position"][1] = world.read("arm.tool_position")[1]
    step = simulation.step(still)
    assert step.terminated.tolist() == [False, True]
    assert simulation.step_limit.tolist() == [500, 500]
