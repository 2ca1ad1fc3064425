import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from fleets import SHORT, actions_of, assert_same, children, simulated, stepped

import troupe
from troupe.core import TroupeError, UserError
from troupe.experiments.environments import TroupeVectorEnv

ALL = np.arange(6)
ZEROS = np.zeros((6, 3), np.float32)


@pytest.mark.parametrize(
    ("workers", "group"), [(0, None), (0, 1), (0, 4), (1, None), (2, None), (4, 1)]
)
def test_a_fleet_does_what_the_simulation_does_bit_for_bit(open_fleet, workers, group):
    fleet = open_fleet(workers=workers, group=group)
    assert_same(stepped(fleet, 12), simulated(6, 12, seed=3))


@pytest.mark.parametrize("workers", [0, 2])
def test_instances_at_their_own_pace_live_the_same_episodes(open_fleet, workers):
    fleet = open_fleet(workers=workers, group=1)
    expected = simulated(6, 12, seed=3)
    steps = np.zeros(6, np.int64)
    batch = fleet.recv(min_ready=6).in_order()
    assert np.array_equal(batch.observation, expected[0])
    # instance i acts in every round i + 1
    for turn in range(1, 13):
        ids = np.flatnonzero(turn % (ALL + 1) == 0)
        fleet.send(np.stack([actions_of(steps[i], 6)[i] for i in ids]), ids)
        steps[ids] += 1
        batch = fleet.recv(min_ready=len(ids)).in_order()
        assert batch.ids.tolist() == ids.tolist()
        flags = (batch.reward, batch.terminated, batch.truncated)
        found = np.column_stack([batch.observation, *flags])
        assert np.array_equal(found, np.stack([expected[steps[i]][i] for i in ids]))
        assert batch.episode.tolist() == (steps[ids] // 5).tolist()
        assert batch.time_ns.tolist() == (steps[ids] % 5 * 20_000_000).tolist()
    assert steps.tolist() == [12, 6, 4, 3, 2, 2]


def test_episodes_end_with_their_last_observation_and_metrics(open_fleet):
    long = simulated(6, 5, seed=3, overrides=["task.episode=1s"])
    fleet = open_fleet(workers=2)
    fleet.recv(min_ready=6)
    for step in range(5):
        fleet.send(actions_of(step, 6), ALL)
        batch = fleet.recv(min_ready=6).in_order()
    assert batch.truncated.all()
    assert batch.ended.tolist() == ALL.tolist()
    assert np.array_equal(batch.final_observation, long[5][:, :-3])
    assert set(batch.metrics) == {"error_m", "success"}
    assert (batch.metrics["error_m"] > 0).all()
    fleet.send(ZEROS, ALL)
    batch = fleet.recv(min_ready=6)
    assert len(batch.ended) == len(batch.final_observation) == len(batch.metrics["error_m"]) == 0


def test_a_slow_instance_delays_nobody(open_fleet):
    slow = ["engines.arm.step_time=1ms", "fleet.slow_workers={0: 60000}"]
    fleet = open_fleet(instances=4, workers=2, overrides=slow)
    assert fleet.spec.bounds == [0, 1, 2, 3, 4]
    batch = fleet.recv(min_ready=4)
    fleet.send(ZEROS[:4], batch.ids)
    for _ in range(5):
        batch = fleet.recv(min_ready=2).in_order()
        assert batch.ids.tolist() == [2, 3]
        fleet.send(ZEROS[:2], batch.ids)


def test_instances_of_a_slow_simulator_do_not_wait_for_each_other(open_fleet):
    fleet = open_fleet(instances=3, overrides=["engines.arm.step_time=1ms"])
    fleet.recv(min_ready=3)
    fleet.send(ZEROS[:1], [1])
    assert fleet.recv().ids.tolist() == [1]
    assert fleet.waiting.tolist() == [0, 1, 2]


def test_instances_that_were_grouped_wait_for_each_other(open_fleet):
    fleet = open_fleet(group=3)
    fleet.recv(min_ready=6)
    fleet.send(ZEROS[:4], [0, 1, 3, 4])
    assert len(fleet.recv(min_ready=0, timeout_s=0.0)) == 0
    with pytest.raises(UserError, match=r"only 0 instances .*; 2, 5 wait .* 0, 1, 3, 4 step tog"):
        fleet.recv()
    fleet.send(ZEROS[:1], [2])
    assert sorted(fleet.recv().ids.tolist()) == [0, 1, 2]


def test_a_reset_forgets_what_was_stepped_before(open_fleet):
    fleet = open_fleet(workers=2, group=1)
    fleet.recv(min_ready=6)
    fleet.send(ZEROS, ALL)
    fleet.reset(seed=11)
    batch = fleet.recv(min_ready=6).in_order()
    assert np.array_equal(batch.observation, simulated(6, 0, seed=11)[0])
    assert batch.episode.tolist() == [0] * 6
    fleet.reset()
    assert fleet.recv(min_ready=6).episode.tolist() == [1] * 6


def test_a_seed_for_each_instance_is_that_of_the_other_environments(open_fleet):
    env = open_fleet(workers=2).vector_env()
    reference = TroupeVectorEnv(6, "scara-reach", SHORT)
    seeds = [5, 6, 7, 5, 1, 0]
    assert np.array_equal(env.reset(seed=seeds)[0], reference.reset(seed=seeds)[0])
    for step in range(7):
        found, expected = (e.step(actions_of(step, 6)) for e in (env, reference))
        assert np.array_equal(found[0], expected[0])
    with pytest.raises(UserError, match="seed: 2 of them; valid: one, or 6"):
        env.reset(seed=[1, 2])
    with pytest.raises(UserError, match="seed: -1; valid: 0 to"):
        env.reset(seed=-1)


@pytest.mark.parametrize(
    ("actions", "ids", "message"),
    [
        (ZEROS[:2], [0, 6], "no instance 6; valid: 0 to 5"),
        (ZEROS[:2], [-1, 0], "no instance -1; valid: 0 to 5"),
        (ZEROS[:2], [1, 1], "ids: 1 stands twice"),
        (ZEROS[:1], [2], r"instance 2 still steps; those that wait .*: 0, 1, 3, 4, 5"),
        (ZEROS[:2], [0.5, 1], "ids: an array of whole numbers"),
        (ZEROS[:1], [0, 1], r"an array of \(1, 3\); valid for 2 instances: \(2, 3\)"),
        (np.zeros((2, 4)), [0, 1], r"an array of \(2, 4\)"),
        ([[0, 0, 0], [0, 1.5, 0]], [0, 1], r"instance 1 is \[0.0, 1.5, 0.0\]; valid: -1 to 1"),
        ([[0, 0, 0], [0, np.nan, 0]], [0, 1], "instance 1 is"),
        ("no", [0], r"actions: an array of \(1, 3\), not 'no'"),
    ],
)
def test_wrong_actions_and_ids_are_told_and_change_nothing(open_fleet, actions, ids, message):
    fleet = open_fleet(group=1)
    fleet.recv(min_ready=6)
    fleet.send(ZEROS[:1], [2])
    with pytest.raises(UserError, match=message):
        fleet.send(actions, ids)
    fleet.send(ZEROS[:5], [0, 1, 3, 4, 5])
    assert len(fleet.recv(min_ready=6)) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 7}, "fleet.workers: 7 is more than"),
        ({"workers": 2, "group": 4}, "group: 4; valid: 1 to the 3 instances of a worker"),
        ({"token": "secret"}, "token: 'scara-reach' runs here"),
        ({"overrides": ["task.episod=1s"]}, "unknown key 'episod'"),
        ({"overrides": ["task=null"]}, "has no task"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(UserError, match=message):
        troupe.connect("scara-reach", **{"instances": 6, **options})


def test_min_ready_is_checked(open_fleet):
    with pytest.raises(UserError, match="min_ready: 7; valid: 0 to 6"):
        open_fleet().recv(min_ready=7)


def test_a_worker_that_dies_loses_its_episodes_and_nothing_else(open_fleet):
    before = set(children(os.getpid()))
    fleet = open_fleet(workers=2, overrides=["task.episode=10s"])
    second = simulated(6, 1, seed=3, overrides=["task.episode=20ms"])[1]
    reference = simulated(6, 4, seed=3, overrides=["task.episode=10s"])
    rows = stepped(fleet, 2)
    victim = worker_pids(before)[0]
    os.kill(victim, signal.SIGKILL)
    fleet.send(actions_of(2, 6), ALL)
    batch = fleet.recv(min_ready=6).in_order()
    assert batch.truncated.tolist() == [True] * 3 + [False] * 3
    assert batch.episode.tolist() == [1, 1, 1, 0, 0, 0]
    assert batch.ended.tolist() == [0, 1, 2]
    assert np.array_equal(batch.final_observation, rows[2][:3, :-3])
    assert np.isnan(batch.metrics["error_m"]).all()
    assert np.array_equal(batch.observation[:3], second[:3, :-3])
    assert np.array_equal(batch.observation[3:], reference[3][3:, :-3])
    assert [instance for instance, _ in batch.faults] == [0, 1, 2]
    assert "the process of worker 0 was killed by SIGKILL" in batch.faults[0][1]
    assert fleet.num_faults == 3
    (row,) = stepped(fleet, 1, first_step=3)
    assert not row[:, -2:].any()
    assert np.array_equal(row[3:], reference[4][3:])


def test_a_worker_that_cannot_live_is_told(open_fleet):
    before = set(children(os.getpid()))
    fleet = open_fleet(workers=1, instances=1, overrides=["engines.arm.step_time=1h"])
    fleet.recv()
    fleet.send(ZEROS[:1], [0])
    with pytest.raises(TroupeError, match=r"worker 0 died 3 times in a row: .*SIGKILL"):
        kill_until_told(fleet, before)


def kill_until_told(fleet, before):
    while True:
        for pid in worker_pids(before):
            os.kill(pid, signal.SIGKILL)
        fleet.recv(timeout_s=0.05)


def worker_pids(before):
    own = [pid for pid in children(os.getpid()) if pid not in before]
    return sorted(pid for pid in own if os.getpgid(pid) == pid)


def test_workers_end_with_their_fleet(open_fleet):
    before = set(children(os.getpid()))
    with open_fleet(workers=2) as fleet:
        fleet.recv()
        assert len(worker_pids(before)) == 2
    assert worker_pids(before) == []
    with pytest.raises(TroupeError, match="the fleet of 'scara-reach' is closed"):
        fleet.recv()


def test_connecting_loads_no_learner_and_no_ray():
    code = (
        "import sys, troupe; troupe.connect; "
        "print(*({'jax', 'matplotlib', 'mujoco', 'optax', 'ray', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
