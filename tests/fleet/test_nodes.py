"""Several Ray nodes on one machine: nodes that die, differ, or cannot be reached for a while."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import ray
from ray._raylet import AuthenticationTokenLoader, Config
from ray.util import get_node_ip_address

from tests.fleet.test_training import assert_same_run
from troupe import __version__
from troupe.core import UserError
from troupe.fleet import actors
from troupe.fleet.launch import run_training
from troupe.fleet.nodes import num_places, share_of_cores

pytestmark = [pytest.mark.xdist_group("nodes"), pytest.mark.slow]

# a node that does not answer for some seconds is dead
HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
RAY = str(Path(sys.executable).with_name("ray"))


HERE = get_node_ip_address()


class Node:
    """Ray on a machine of its own, so to say: programs that `ray start` starts here."""

    def __init__(self, *options: str, before: Sequence[str] = (), **environment: str) -> None:
        command = [*before, RAY, "start", "--block", "--disable-usage-stats", *options]
        command += ["--object-store-memory=80000000"]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def is_ready(self) -> bool:
        """Wait until it runs; on a busy machine Ray may give up, which is False."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "Ray runtime started" in line:
                return True
            print(line, end="")
        return False

    def kill(self) -> None:
        """Kill its raylet, with which all of its workers end."""
        (raylet,) = (p for p in descendants(self._process.pid) if "raylet/raylet" in program(p))
        os.kill(raylet, signal.SIGKILL)

    def end(self) -> None:
        found = descendants(self._process.pid)
        self._process.terminate()
        try:
            self._process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def descendants(process: int) -> list[int]:
    children = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            children += [int(child) for child in task.read_text().split()]
    return [p for child in children for p in (child, *descendants(child))]


def program(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


class Nodes:
    """A head at an address of this machine, and more nodes."""

    def __init__(self) -> None:
        self.address = ""
        self._all: list[Node] = []

    def head(self, num_cpus: int, host: str = HERE) -> None:
        with socket.socket() as free:
            free.bind((host, 0))
            port = free.getsockname()[1]
        options = [f"--port={port}", f"--system-config={json.dumps(HEALTH)}"]
        options += ["--include-dashboard=false"]
        self._start("--head", f"--node-ip-address={host}", f"--num-cpus={num_cpus}", *options)
        self.address = f"{host}:{port}"

    def add(self, num_cpus: int, host: str = HERE, options: Sequence[str] = (), **more) -> Node:
        place = (f"--address={self.address}", f"--node-ip-address={host}")
        return self._start(*place, f"--num-cpus={num_cpus}", *options, **more)

    def end(self) -> None:
        ray.shutdown()
        for node in reversed(self._all):
            node.end()

    def _start(self, *options: str, **more) -> Node:
        for _ in range(3):
            node = Node(*options, **more)
            self._all.append(node)
            if node.is_ready():
                return node
        raise TimeoutError


@pytest.fixture
def token(monkeypatch):
    """A token of the test's own, by which Ray's processes know each other."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
    yield
    monkeypatch.undo()
    AuthenticationTokenLoader.instance().reset_cache()


@pytest.fixture
def nodes(token):
    made = Nodes()
    yield made
    made.end()


def living() -> int:
    return sum(node["Alive"] for node in ray.nodes())


def wait_until(condition, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def kill_at(update: int, node: Node):
    """Kill a node at an update, and let the next one wait until Ray knows of it."""

    def report(row: dict[str, float]) -> None:
        if row["update"] == update:
            node.kill()
        if row["update"] == update + 1:
            wait_until(lambda: living() == 1)

    return report


@pytest.mark.parametrize("head_cores", [2, 1])
def test_workers_of_a_node_that_died_go_on_elsewhere_bitwise(small, tmp_path, nodes, head_cores):
    """Also where there is no core left for them."""
    nodes.head(head_cores)
    node = nodes.add(3 - head_cores)
    fleet = ("fleet.workers=3", f"fleet.address={nodes.address}")
    summary = run_training(small(*fleet, steps=2048), tmp_path / "storm", report=kill_at(2, node))
    # once more for a worker for which there was no core
    assert summary["worker_restarts"] >= 3 - head_cores
    run_training(small(steps=2048), tmp_path / "calm")
    assert_same_run(tmp_path / "calm", tmp_path / "storm")


def test_workers_at_their_own_pace_survive_the_death_of_a_node(small, tmp_path, nodes):
    nodes.head(1)
    node = nodes.add(1)
    fleet = (
        "fleet.workers=2",
        "fleet.mode=asynchronous",
        "fleet.fragment=8",
        "learner.lag=0",
        f"fleet.address={nodes.address}",
    )
    summary = run_training(small(*fleet, steps=10_240), tmp_path / "run", report=kill_at(2, node))
    assert summary["steps"] == 10_240
    assert summary["worker_restarts"] >= 1
    lost = sum(summary["dropped"].values())
    assert lost == summary["dropped_steps"]


def test_a_worker_whose_place_another_took_shares_cores(small, tmp_path, nodes, monkeypatch):
    """Where there would be cores enough, were it not for another program on the cluster."""
    monkeypatch.setattr(actors, "PLACED_WITHIN_S", 2.0)
    nodes.head(1)
    node = nodes.add(1)

    class Other:
        def ready(self) -> None:
            """Occupy a node."""

    others = []

    def kill_and_occupy(row: dict[str, float]) -> None:
        if row["update"] == 2:
            nodes.add(1, options=['--resources={"second": 1}'])
            others.append(ray.remote(num_cpus=1, resources={"second": 1})(Other).remote())
            ray.get(others[0].ready.remote())
            node.kill()

    fleet = ("fleet.workers=2", f"fleet.address={nodes.address}")
    summary = run_training(small(*fleet, steps=2048), tmp_path / "storm", report=kill_and_occupy)
    assert summary["worker_restarts"] == 2
    run_training(small(steps=2048), tmp_path / "calm")
    assert_same_run(tmp_path / "calm", tmp_path / "storm")


def test_a_machine_with_another_version_is_named(small, tmp_path, nodes):
    other = tmp_path / "other" / "troupe"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "0.0.7"\n')
    nodes.head(1)
    nodes.add(1, PYTHONPATH=str(other.parent))
    fleet = ("fleet.workers=2", f"fleet.address={nodes.address}")
    match = rf"machine '.+' \(.+\) of the Ray cluster has Troupe 0\.0\.7, .* Troupe {__version__}"
    with pytest.raises(UserError, match=match):
        run_training(small(*fleet), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_workers_have_places_on_nodes_of_any_size(nodes):
    nodes.head(1)
    nodes.add(1)
    ray.init(nodes.address, logging_level="error", log_to_driver=False)
    wait_until(lambda: living() == 2)
    # two thirds of a core would leave the third worker without a place
    assert share_of_cores(3) == 0.5
    assert num_places(0.5) == 4
    assert [share_of_cores(workers) for workers in (1, 2, 5)] == [1.0, 1.0, 0.3333]


class Network:
    """A network of two: this machine, and a namespace on it, with a link that can be cut."""

    here, there = "10.213.77.1", "10.213.77.2"

    def __init__(self) -> None:
        self.name = f"tr{os.getpid() % 10**7}"
        self._ending = ExitStack()

    def __enter__(self) -> "Network":
        try:
            self._make()
        except BaseException:
            self._ending.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.close()

    def cut(self) -> None:
        self._ip(f"link set {self.name}a down")

    def mend(self) -> None:
        self._ip(f"link set {self.name}a up")

    def _make(self) -> None:
        name = self.name
        for make, end in [
            (f"netns add {name}", f"netns del {name}"),
            (f"link add {name} type bridge", f"link del {name}"),
            (f"link add {name}a type veth peer name {name}b", f"link del {name}a"),
        ]:
            self._ip(make)
            self._ending.callback(self._ip, end)
        for command in [
            f"addr add {self.here}/24 dev {name}",
            f"link set {name} up",
            f"link set {name}a master {name}",
            f"link set {name}a up",
            f"link set {name}b netns {name}",
            f"-n {name} addr add {self.there}/24 dev {name}b",
            f"-n {name} link set {name}b up",
            f"-n {name} link set lo up",
        ]:
            self._ip(command)

    def _ip(self, command: str) -> None:
        subprocess.run(["ip", *command.split()], check=True, capture_output=True, timeout=10)


@pytest.fixture
def network():
    if shutil.which("ip") is None:
        pytest.skip("needs ip, of iproute2")
    try:
        with Network() as made:
            yield made
    except subprocess.CalledProcessError as error:  # as in containers without the right to
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode()}")


@pytest.fixture
def far_nodes(network, nodes):
    """A head here, and a node behind the link."""
    nodes.head(1, network.here)
    nodes.add(1, network.there, before=["ip", "netns", "exec", network.name])
    return nodes


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_a_link_that_is_cut_for_long_costs_a_worker_and_the_run_goes_on(
    small, tmp_path, network, far_nodes, mode
):
    def cut(row: dict[str, float]) -> None:
        if row["update"] == 2:
            network.cut()
        if row["update"] == 3:
            wait_until(lambda: living() == 1)
        if row["update"] == 5:
            network.mend()

    steps = 10_240
    fleet = ("fleet.workers=2", f"fleet.mode={mode}", f"fleet.address={far_nodes.address}")
    pace = ("fleet.fragment=8", "learner.lag=0") if mode == "asynchronous" else ()
    summary = run_training(small(*fleet, *pace, steps=steps), tmp_path / "run", report=cut)
    assert summary["steps"] == steps
    assert summary["worker_restarts"] >= 1
    if mode == "synchronous":
        run_training(small(steps=steps), tmp_path / "calm")
        assert_same_run(tmp_path / "calm", tmp_path / "run")


def test_a_link_that_is_cut_for_a_moment_costs_nothing(small, tmp_path, network, far_nodes):
    mended = []

    def mend() -> None:
        network.mend()
        mended.append(True)

    def cut(row: dict[str, float]) -> None:
        if row["update"] == 2:
            network.cut()
            threading.Timer(0.5, mend).start()

    fleet = ("fleet.workers=2", f"fleet.address={far_nodes.address}")
    summary = run_training(small(*fleet, steps=2048), tmp_path / "run", report=cut)
    assert mended
    assert (summary["steps"], summary["worker_restarts"]) == (2048, 0)
    run_training(small(steps=2048), tmp_path / "calm")
    assert_same_run(tmp_path / "calm", tmp_path / "run")
