import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import Literal

import numpy as np
import pytest
from fleets import actions_of, assert_same, children, simulated, stepped

from troupe.core import EngineError, TroupeError, UserError, plugins
from troupe.core.arrays import ArraySpec
from troupe.engines.host.grpc_server import Certificate
from troupe.fleet.serving.service import FleetService
from troupe.tasks.base import Task, TaskSettings

ALL = np.arange(6)
ZEROS = np.zeros((6, 3), np.float32)


def until(is_so, within_s=20.0):
    """Wait for something and return whether it came."""
    end_s = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize(("workers", "group"), [(0, None), (0, 2), (2, None), (2, 1)])
def test_a_fleet_elsewhere_does_the_same_bit_for_bit(open_fleet, serve, workers, group):
    fleet = open_fleet(serve(workers=workers, group=group).address)
    assert_same(stepped(fleet, 12), simulated(6, 12, seed=3))


def test_the_client_chooses_the_seed_and_the_server_the_rest(open_fleet, serve):
    address = serve().address
    fleet = open_fleet(address, seed=8)
    assert_same(stepped(fleet, 2), simulated(6, 2, seed=8))
    for name, value in {"instances": 2, "workers": 1, "overrides": ["seed=1"], "group": 1}.items():
        with pytest.raises(UserError, match=f"{name}: .* is for `troupe serve` to say"):
            open_fleet(address, **{name: value})


def test_a_connection_that_breaks_again_and_again_loses_nothing(open_fleet, serve, proxy):
    service = serve(workers=2)
    between = proxy(service.address)
    fleet = open_fleet(between.address)
    rows = stepped(fleet, 2)
    for step in range(2, 12):
        if step % 2:
            between.cut()
        fleet.send(actions_of(step, 6), ALL)
        if step % 3 == 0:
            between.cut()
        batch = fleet.recv(min_ready=6).in_order()
        flags = (batch.reward, batch.terminated, batch.truncated)
        rows.append(np.column_stack([batch.observation, *flags]))
    assert_same(rows, simulated(6, 12, seed=3))
    assert between.num_connections > 4
    assert service.num_clients == 1


def test_a_client_that_comes_too_late_is_told(open_fleet, serve, proxy):
    service = serve(keep_s=0.3)
    between = proxy(service.address)
    fleet = open_fleet(between.address)
    fleet.recv(min_ready=6)
    between.close()
    assert until(lambda: service.num_clients == 0)
    fleet.send(ZEROS, ALL)
    with pytest.raises(EngineError, match=r"cannot be reached.*lost for more than 0\.3 s"):
        fleet.recv()


def test_a_fleet_that_was_given_up_is_told(open_fleet, serve, proxy):
    service = serve(keep_s=0.05)
    between = proxy(service.address)
    fleet = open_fleet(between.address)
    fleet.recv(min_ready=6)
    between.cut()
    assert until(lambda: service.num_clients == 0)
    fleet.send(ZEROS, ALL)
    with pytest.raises(TroupeError, match="does not have this client's fleet any more"):
        fleet.recv()


def test_the_fleet_of_a_killed_client_is_freed(serve):
    before = set(children(os.getpid()))
    service = serve(workers=1, keep_s=0.1)
    code = f"""
        import time, troupe
        fleet = troupe.connect({service.address!r})
        fleet.recv()
        print("ready", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        assert client.stdout.readline() == b"ready\n"
        assert service.num_clients == 1
        client.send_signal(signal.SIGKILL)
    assert until(lambda: service.num_clients == 0)
    assert until(lambda: set(children(os.getpid())) <= before)


def test_no_more_clients_than_allowed(open_fleet, serve):
    address = serve(max_clients=2).address
    first, second = open_fleet(address), open_fleet(address)
    with pytest.raises(EngineError, match="2 of 2 clients"):
        open_fleet(address)
    first.close()
    third = open_fleet(address)
    for fleet in (second, third):
        assert_same(stepped(fleet, 1), simulated(6, 1, seed=3))


def test_clients_need_the_token(open_fleet, serve, monkeypatch, tmp_path):
    address = serve(token="secret").address
    monkeypatch.delenv("TROUPE_TOKEN", raising=False)
    refused = rf"{address} refuses the token: .*`token` or TROUPE_TOKEN"
    with pytest.raises(UserError, match=refused):
        open_fleet(address)
    with pytest.raises(UserError, match=refused):
        open_fleet(address, token="guessed")
    open_fleet(address, token="secret").close()
    monkeypatch.setenv("TROUPE_TOKEN", "secret")
    open_fleet(address).close()
    monkeypatch.delenv("TROUPE_TOKEN")
    file = tmp_path / "token"
    file.write_text("secret\n")
    file.chmod(0o644)
    monkeypatch.setenv("TROUPE_TOKEN_FILE", str(file))
    with pytest.raises(UserError, match="can be read by others: chmod 600"):
        open_fleet(address)
    file.chmod(0o600)
    open_fleet(address).close()


def test_tls_keeps_others_out(open_fleet, serve, monkeypatch, tmp_path):
    key, chain = tmp_path / "key.pem", tmp_path / "cert.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", key, "-out", chain]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *name]
    subprocess.run(command, check=True, capture_output=True)
    address = serve(certificate=Certificate(chain.read_bytes(), key.read_bytes())).address
    assert address.startswith("grpcs://")
    with pytest.raises(EngineError, match="cannot be reached"):
        open_fleet(address)
    monkeypatch.setenv("TROUPE_CA", str(chain))
    assert_same(stepped(open_fleet(address), 1), simulated(6, 1, seed=3))


def test_a_service_that_others_reach_needs_a_token(serve):
    experiment = serve()._experiment
    with pytest.raises(UserError, match=r"'0\.0\.0\.0:0' can be reached by others"):
        FleetService(experiment, "0.0.0.0:0")


def test_a_server_that_is_not_there_is_named(open_fleet):
    with pytest.raises(EngineError, match=r"grpc://127\.0\.0\.1:9 cannot be reached"):
        open_fleet("grpc://127.0.0.1:9")


def test_a_worker_that_dies_elsewhere_is_told_here(open_fleet, serve):
    before = set(children(os.getpid()))
    fleet = open_fleet(serve(workers=2).address)
    fleet.recv(min_ready=6)
    new = (pid for pid in children(os.getpid()) if pid not in before)
    os.kill(min(pid for pid in new if os.getpgid(pid) == pid), signal.SIGKILL)
    fleet.send(ZEROS, ALL)
    batch = fleet.recv(min_ready=6).in_order()
    assert batch.truncated.tolist() == [True] * 3 + [False] * 3
    assert [instance for instance, _ in batch.faults] == [0, 1, 2]


def test_a_slow_instance_elsewhere_delays_nobody(open_fleet, serve):
    slow = ["engines.arm.step_time=1ms", "fleet.slow_workers={0: 60000}"]
    fleet = open_fleet(serve(slow, workers=2, instances=2).address)
    fleet.recv(min_ready=2)
    fleet.send(ZEROS[:2], [0, 1])
    for _ in range(3):
        assert fleet.recv().ids.tolist() == [1]
        fleet.send(ZEROS[:1], [1])


class ImageTask(Task):
    """Shows images that tell the instance's steps; the action is one of five."""

    def __init__(self):
        low, high = np.asarray(0.0), np.asarray(255.0)
        self.observation_spec = ArraySpec((8, 6, 3), low=low, high=high, dtype=np.dtype(np.uint8))
        self.action_spec = ArraySpec((), categories=5)

    def reset(self, world, instances, rng):
        self.steps = world.arrays.setdefault("steps", np.zeros(world.num_instances))
        self.steps[instances] = 0

    def act(self, world, action):
        if (self.steps > 250).any():
            raise ValueError("an image cannot tell that")
        self.steps += action

    def observe(self, world):
        pixels = np.arange(8 * 6 * 3).reshape(8, 6, 3)
        return (pixels + self.steps[:, None, None, None]).astype(np.uint8)

    def reward(self, world, action):
        return action.astype(np.float64)

    def terminated(self, world):
        return np.zeros(world.num_instances, np.bool_)

    def metrics(self, world):
        return {}


class ImageSettings(TaskSettings):
    type: Literal["image"] = "image"

    def build(self, robots, world, step_ns):
        return ImageTask()


@pytest.fixture
def image_task(monkeypatch):
    """Let this process offer the task, as an entry point would."""
    load = plugins.load

    def load_or_image(group, name, where=""):
        return ImageSettings if name == "image" else load(group, name, where)

    monkeypatch.setattr(plugins, "load", load_or_image)


@pytest.mark.usefixtures("image_task")
def test_what_a_task_raises_elsewhere_is_told_here(open_fleet, serve):
    service = serve(["task={type: image}"])
    fleet = open_fleet(service.address)
    with pytest.raises(EngineError, match=r"(?s)grpc://.*ValueError: an image cannot tell that"):
        step_on(fleet)
    assert until(lambda: service.num_clients == 0)


def step_on(fleet):
    while True:
        batch = fleet.recv(min_ready=6)
        fleet.send(np.full(6, 4), batch.ids)


@pytest.mark.usefixtures("image_task")
def test_images_and_discrete_actions_pass_unharmed(open_fleet, serve):
    fleet = open_fleet(serve(["task={type: image}"], group=1).address)
    assert fleet.observation_space.dtype == np.uint8
    assert fleet.action_space.n == 5
    batch = fleet.recv(min_ready=6)
    assert (batch.observation.dtype, batch.observation.shape) == (np.uint8, (6, 8, 6, 3))
    fleet.send(batch.ids % 5, batch.ids)
    batch = fleet.recv(min_ready=6).in_order()
    pixels = np.arange(8 * 6 * 3).reshape(8, 6, 3)
    for i, image in enumerate(batch.observation):
        assert np.array_equal(image, (pixels + i % 5).astype(np.uint8))
        assert image in fleet.observation_space
    assert batch.reward.tolist() == [0, 1, 2, 3, 4, 0]
    with pytest.raises(UserError, match="instance 0 is 5; valid: 0 to 4"):
        fleet.send([5], [0])
    with pytest.raises(UserError, match="whole numbers are valid, not values of type float64"):
        fleet.send([0.5], [0])
