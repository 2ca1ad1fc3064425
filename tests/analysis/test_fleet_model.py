from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gamma

from troupe.analysis.fleet_model import Fleet, forecast
from troupe.analysis.fleet_model_nodes import ActorStep, SimulatorTime
from troupe.analysis.fleet_model_plan import Job, plan

SLEEP = ActorStep(cpu_s=0.0, wait_s=0.1)
FLEET = Fleet(step=SLEEP, instances_per_worker=1, batch=64, update_s=0.0, cores=2)
ASYNCHRONOUS = replace(FLEET, mode="asynchronous", fragment=8)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_one_synchronous_worker_takes_one_thing_after_the_other():
    fleet = replace(FLEET, update_s=0.5, call_s=0.02, handling_s=0.01)
    # 64 steps of 0.1 s, the call, the driver, the update
    assert forecast(fleet, 1).steps_per_s == pytest.approx(64 / (6.4 + 0.02 + 0.01 + 0.5))


@pytest.mark.parametrize(("update_s", "cycle_s"), [(0.5, 6.4), (9.0, 9.0)])
def test_sampling_ahead_hides_the_shorter_of_sampling_and_learning(update_s, cycle_s):
    found = forecast(replace(FLEET, update_s=update_s, sample_ahead=True), 1)
    assert found.steps_per_s == pytest.approx(64 / cycle_s)
    assert (found.lag_mean, found.lag_p95) == (1.0, 1.0)


@pytest.mark.parametrize("fleet", [FLEET, ASYNCHRONOUS], ids=lambda fleet: fleet.mode)
@pytest.mark.parametrize("workers", [2, 8, 64])
def test_workers_that_sleep_add_up(fleet, workers):
    assert forecast(fleet, workers).steps_per_s == pytest.approx(10 * workers, rel=0.02)


@pytest.mark.parametrize("fleet", [FLEET, ASYNCHRONOUS], ids=lambda fleet: fleet.mode)
@pytest.mark.parametrize(("workers", "busy"), [(1, 1), (2, 2), (4, 2), (32, 2)])
def test_workers_that_compute_share_the_cores_of_their_node(fleet, workers, busy):
    fleet = replace(fleet, step=ActorStep(cpu_s=0.01), workers_per_node=32)
    found = forecast(fleet, workers)
    assert found.steps_per_s == pytest.approx(100 * busy, rel=0.02)
    assert found.busy["cores"] == pytest.approx(busy / 2, abs=0.02)


def test_on_nodes_of_their_own_they_add_up():
    fleet = replace(ASYNCHRONOUS, step=ActorStep(cpu_s=0.01))
    assert forecast(fleet, 16).steps_per_s == pytest.approx(1600, rel=0.02)


def test_short_work_of_many_sleepers_is_spread_over_the_cores():
    # all begin at once, but wait for a core in the first step only
    fleet = replace(FLEET, batch=64 * 16, workers_per_node=64)
    fleet = replace(fleet, step=ActorStep(cpu_s=0.001, wait_s=0.099))
    first_s = 64 * 0.001 / 2
    assert forecast(fleet, 64).steps_per_s == pytest.approx(1024 / (1.6 + first_s), rel=0.02)


@pytest.mark.parametrize("workers", [1, 4, 32])
def test_a_synchronous_batch_waits_for_the_slowest(workers):
    exponent, mean_s = 4.0, 0.1
    step = ActorStep(cpu_s=0.0, simulator=SimulatorTime(mean_s, "pareto", exponent))
    fleet = replace(FLEET, step=step, batch=workers)
    # the expected maximum of Pareto numbers
    least_s = mean_s * (exponent - 1) / exponent
    share = gamma(workers + 1) * gamma(1 - 1 / exponent) / gamma(workers + 1 - 1 / exponent)
    found = forecast(fleet, workers)
    assert found.batch == workers
    assert found.steps_per_s == pytest.approx(workers / (least_s * share), rel=0.06)


def test_an_asynchronous_fleet_waits_for_nobody():
    step = ActorStep(cpu_s=0.0, simulator=SimulatorTime(0.1, "lognormal", 1.0))
    assert forecast(replace(ASYNCHRONOUS, step=step), 64).steps_per_s == pytest.approx(640, rel=0.1)


def test_one_of_eight_workers_is_ten_times_slower():
    slow = {"slow_workers": {0: 10.0}}
    assert forecast(replace(ASYNCHRONOUS, **slow), 8).steps_per_s == pytest.approx(71, rel=0.02)
    assert forecast(replace(FLEET, **slow), 8).steps_per_s == pytest.approx(8, rel=0.02)


@pytest.mark.parametrize(
    ("kind", "spread"), [("fixed", 0.0), ("pareto", 2.5), ("lognormal", 0.8)], ids=str
)
def test_times_of_a_simulator_have_their_mean(kind, spread, rng):
    drawn = SimulatorTime(0.02, kind, spread).draw(rng, (1000, 100))
    assert drawn.mean() == pytest.approx(0.02, rel=0.02)
    assert SimulatorTime(0.02, kind, spread, longest_s=0.01).draw(rng, (9,)).max() <= 0.02


def test_a_simulators_time_covers_the_engine_and_may_be_work(rng):
    simulator = SimulatorTime(0.02)
    waiting = ActorStep(cpu_s=0.003, engine_s=0.002, simulator=simulator)
    wait, cpu = waiting.draw(rng, num_instances=2, num_steps=3)
    assert wait == pytest.approx([0.038] * 3)
    assert cpu == pytest.approx([0.003] * 3)
    wait, cpu = replace(waiting, simulator_cpu=0.5).draw(rng, num_instances=2, num_steps=3)
    assert wait == pytest.approx([0.02] * 3)
    assert cpu == pytest.approx([0.021] * 3)


def test_policy_and_fragments_cross_the_network_once_a_node_and_one_after_the_other():
    network = {"bits_per_s": 8e6, "latency_s": 0.25, "policy_bytes": 2e6, "step_bytes": 1e4}
    fleet = replace(FLEET, batch=6 * 10, workers_per_node=2, cores=8, state_bytes=1e5, **network)
    # to two nodes beside the learner's; then four fragments of 10 steps and a snapshot each
    first_s, last_s = 0.25 + 2.0, 0.25 + 4.0
    fragment_s = (10 * 1e4 + 1e5) / 1e6
    assert first_s + 2 * fragment_s < last_s  # the first node's are through before the last's
    cycle_s = last_s + 1.0 + 2 * fragment_s + 0.25
    assert forecast(fleet, 6).steps_per_s == pytest.approx(60 / cycle_s)


def test_the_network_bounds_what_is_pushed():
    fleet = replace(ASYNCHRONOUS, bits_per_s=8e6, step_bytes=1e4, update="fragment")
    found = forecast(fleet, 64)
    # 100 steps/s cross the network; one worker in 64 needs none
    assert found.steps_per_s == pytest.approx(110, rel=0.05)
    assert found.busy["network in"] > 0.95


def test_the_learner_bounds_what_is_taken_and_the_lag_shows_it():
    fleet = replace(ASYNCHRONOUS, update_s=1.0)
    found = forecast(fleet, 64)
    assert found.steps_per_s == pytest.approx(64, rel=0.02)
    # two fragments of each worker are in flight: 1024 steps, 16 updates
    assert 8 < found.lag_p95 <= 17


def test_shorter_fragments_hold_the_lag():
    fleet = replace(ASYNCHRONOUS, update_s=0.5, max_lag=3)
    found = forecast(fleet, 64)
    assert found.lag_p95 <= 3
    assert found.fragment < 8
    assert found.steps_per_s == pytest.approx(128, rel=0.05)


def test_a_policy_taken_up_at_once_is_younger():
    at_once = forecast(replace(ASYNCHRONOUS, batch=16), 16)
    later = forecast(replace(ASYNCHRONOUS, batch=16, update="fragment"), 16)
    assert at_once.lag_mean < later.lag_mean


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_a_forecast_follows_from_its_seed(mode):
    step = ActorStep(cpu_s=0.001, simulator=SimulatorTime(0.1, "pareto", 1.5))
    fleet = replace(FLEET, step=step, mode=mode, batch=256)
    assert forecast(fleet, 16, seed=3) == forecast(fleet, 16, seed=3)
    assert forecast(fleet, 16, seed=3) != forecast(fleet, 16, seed=4)


def test_many_workers_are_bounded():
    found = forecast(replace(ASYNCHRONOUS, batch=4096), 4096)
    assert found.steps_per_s == pytest.approx(40960, rel=0.03)
    assert found.updates * found.batch < 4096 * 8 * 6


def knee(fleet, workers=(1, 2, 4, 8, 16, 32, 64, 128, 256)):
    return plan(fleet, workers, Job(steps=1000)).knee


def test_the_knee_is_where_the_learner_is_busy():
    # the learner takes 640 steps/s, a worker gives 10
    fleet = replace(ASYNCHRONOUS, update_s=0.1)
    assert knee(fleet) == pytest.approx(64, abs=8)


def test_the_knee_comes_later_for_slower_simulators_and_a_faster_learner():
    times = [0.05, 0.1, 0.2]
    slower = [
        knee(replace(ASYNCHRONOUS, step=ActorStep(0.0, wait_s=t), update_s=0.1)) for t in times
    ]
    assert slower == sorted(set(slower))
    faster = [knee(replace(ASYNCHRONOUS, update_s=t)) for t in (0.4, 0.2, 0.1)]
    assert faster == sorted(set(faster))


def test_a_plan_has_efficiency_time_and_cost():
    fleet = replace(FLEET, workers_per_node=2, update_s=0.8)
    job = Job(steps=6400, startup_s=20.0, actor_startup_s=2.0, price_per_hour=0.5)
    made = plan(fleet, [1, 8], job)
    one, eight = made.rows[0], made.rows[-1]
    assert (one.efficiency, one.marginal_efficiency) == (1.0, 1.0)
    rate = 64 / (0.8 + 0.8)
    assert eight.forecast.steps_per_s == pytest.approx(rate)
    assert eight.efficiency == pytest.approx(rate / (8 * one.forecast.steps_per_s))
    assert eight.wall_s == pytest.approx(6400 / rate + 22.0)
    # four machines
    assert eight.instance_hours == pytest.approx(4 * eight.wall_s / 3600)
    assert eight.price == pytest.approx(0.5 * eight.instance_hours)


def test_a_plan_without_a_knee_says_so():
    made = plan(ASYNCHRONOUS, [1, 2, 4], Job(steps=100))
    assert (made.knee, made.is_limited) == (4, False)
    assert made.rows[0].price is None
    beyond = plan(replace(ASYNCHRONOUS, update_s=6.4), [16, 32], Job(steps=100))
    assert beyond.knee is None
