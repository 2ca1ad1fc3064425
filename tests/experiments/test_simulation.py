import numpy as np
import pytest

from troupe.experiments.load import load_experiment, trainable_names
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import Simulation

SHORT = {
    "scara-reach": ["task.episode=100ms"],
    "scara-point": ["task.episode=140ms"],
    "mara-reach": ["task.episode=200ms", "task.orientation=true"],
    "mara-point": ["task.episode=200ms", "task.orientation=true", "task.target=random"],
    "iiwa-grasp-closed-loop": ["task.settle=96ms", "task.interval=144ms"],
    "iiwa-lift": ["task.episode=960ms"],
}
# whose brains cannot snapshot; their own tests stand beside their names
OF_SEVERAL_ENGINES = ("reflex-gains", "exoskeleton-assist")
# that would take their time and simulate what scara-reach does
SLOW = ("scara-reach-20ms", "scara-reach-200ms", "scara-reach-tail", "scara-reach-straggler")
NAMES = [name for name in trainable_names() if name not in (*OF_SEVERAL_ENGINES, *SLOW)]
EACH = pytest.mark.parametrize("name", NAMES)

Trajectory = list[tuple[np.ndarray, ...]]


def build(name: str) -> Experiment:
    return load_experiment(name, SHORT.get(name, []))


def actions(simulation: Simulation, step: int) -> np.ndarray:
    """Return actions that depend on the step and the global id of an instance only."""
    first = simulation.first_instance
    dof = simulation.action_spec.shape[0]
    ids = range(first, first + simulation.num_instances)
    rows = [np.random.default_rng((i, step)).uniform(-1, 1, dof) for i in ids]
    return np.array(rows, np.float32)


def run(simulation: Simulation, steps: range) -> Trajectory:
    trajectory: Trajectory = []
    for step in steps:
        result = simulation.step(actions(simulation, step))
        done = np.flatnonzero(result.terminated | result.truncated)
        metrics = tuple(simulation.metrics().values())
        figures = (result.observation, result.reward, result.terminated, result.truncated)
        if len(done):
            simulation.reset(done)
        trajectory.append((*figures, *metrics, simulation.observe()))
    return trajectory


def rows(trajectory: Trajectory, ids: slice) -> Trajectory:
    return [tuple(array[ids] for array in step) for step in trajectory]


def same(one: Trajectory, other: Trajectory) -> bool:
    return all(
        np.array_equal(a, b)
        for step, expected in zip(one, other, strict=True)
        for a, b in zip(step, expected, strict=True)
    )


@EACH
def test_a_task_keeps_the_rules_of_all_tasks(name: str) -> None:
    simulation = Simulation(build(name), 4)
    simulation.reset()
    spec = simulation.action_spec
    if not spec.categories:
        assert ((spec.low == -1) & (spec.high == 1)).all()
    assert simulation.observe().dtype == np.float32
    for observation, reward, terminated, truncated, *metrics, _ in run(simulation, range(25)):
        assert observation.shape == (4, *simulation.observation_spec.shape)
        assert np.isfinite(observation).all()
        assert np.isfinite(reward).all()
        assert reward.shape == terminated.shape == truncated.shape == (4,)
        assert not (terminated & truncated).any()
        for values in metrics:
            assert values.shape == (4,)
            assert np.isfinite(values).all()


@EACH
def test_an_instance_is_the_same_alone_and_among_others(name: str) -> None:
    experiment = build(name)
    together = Simulation(experiment, 16, seed=3)
    together.reset()
    expected = run(together, range(25))
    for instance in (0, 5, 15):
        alone = Simulation(experiment, 1, seed=3, first_instance=instance)
        alone.reset()
        found = run(alone, range(25))
        assert same(found, rows(expected, slice(instance, instance + 1)))


def test_instances_are_the_same_however_they_are_divided_and_stepped() -> None:
    experiment = build("mara-reach")
    whole = Simulation(experiment, 12, seed=3, num_threads=1)
    whole.reset()
    expected = run(whole, range(25))
    for first, count, threads in [(0, 5, 2), (5, 7, 1)]:
        part = Simulation(experiment, count, seed=3, first_instance=first, num_threads=threads)
        part.reset()
        assert same(run(part, range(25)), rows(expected, slice(first, first + count)))


@EACH
def test_a_snapshot_in_the_middle_of_episodes_is_exact(name: str) -> None:
    experiment = build(name)
    simulation = Simulation(experiment, 4, seed=1)
    simulation.reset()
    run(simulation, range(8))
    snapshot = simulation.snapshot()
    expected = run(simulation, range(8, 30))
    simulation.restore(snapshot)
    assert same(run(simulation, range(8, 30)), expected)
    other = Simulation(experiment, 4, seed=1)
    other.restore(snapshot)
    assert same(run(other, range(8, 30)), expected)


def test_different_root_seeds_lead_to_different_episodes() -> None:
    observations = []
    for seed in (0, 1):
        simulation = Simulation(build("scara-reach"), 4, seed=seed)
        simulation.reset()
        observations.append(simulation.observe())
    assert not np.isclose(observations[0][:, 3:5], observations[1][:, 3:5]).any()


def test_a_new_root_seed_begins_anew() -> None:
    experiment = build("scara-reach")
    simulation, fresh = Simulation(experiment, 4, seed=1), Simulation(experiment, 4, seed=9)
    simulation.reset()
    run(simulation, range(8))
    simulation.reset(seed=9)
    fresh.reset()
    assert same(run(simulation, range(12)), run(fresh, range(12)))


def test_with_seeds_of_their_own_instances_are_each_the_first_of_their_seed() -> None:
    experiment = build("scara-reach")
    simulation = Simulation(experiment, 3, seed=1, first_instance=40)
    simulation.reset()
    simulation.reset(seed=[7, 8, 9])
    together = [simulation.observe()]
    simulation.reset()
    together.append(simulation.observe())
    for i, seed in enumerate([7, 8, 9]):
        alone = Simulation(experiment, 1, seed=seed)
        for expected in together:
            alone.reset()
            assert np.array_equal(alone.observe()[0], expected[i])


def test_episodes_are_truncated_at_their_time_limit() -> None:
    simulation = Simulation(build("scara-reach"), 3)
    simulation.reset()
    ends = [simulation.step(actions(simulation, step)).truncated.tolist() for step in range(5)]
    # 100 ms in steps of 20 ms
    assert ends == [[False] * 3] * 4 + [[True] * 3]
    assert simulation.episode_step.tolist() == [5, 5, 5]
    simulation.reset(np.array([1]))
    assert simulation.episode_step.tolist() == [5, 0, 5]
    assert simulation.episode.tolist() == [0, 1, 0]


def test_a_termination_at_the_time_limit_is_no_truncation() -> None:
    experiment = load_experiment("scara-point", ["task.threshold_m=9", "task.episode=20ms"])
    simulation = Simulation(experiment, 2)
    simulation.reset()
    step = simulation.step(np.zeros((2, 3), np.float32))
    assert step.terminated.all()
    assert not step.truncated.any()


def test_a_failure_truncates_its_episode_and_touches_no_other() -> None:
    experiment = load_experiment("scara-point", ["task.threshold_m=9"])
    simulation = Simulation(experiment, 3)
    simulation.reset()
    broken = actions(simulation, 0)
    broken[1] = np.nan
    step = simulation.step(broken)
    assert step.terminated.tolist() == [True, False, True]
    assert step.truncated.tolist() == [False, True, False]
    assert [fault.instance for fault in step.faults] == [1]
    assert np.isfinite(step.observation).all()
    assert np.isfinite(step.reward).all()
    sound = Simulation(experiment, 3)
    sound.reset()
    expected = sound.step(actions(sound, 0))
    assert np.array_equal(step.observation[[0, 2]], expected.observation[[0, 2]])
    simulation.reset()
    assert not simulation.step(actions(simulation, 1)).faults
