"""A NEST server of several real MPI processes. `make check-nest-mpi` runs this file, nothing else.

It needs a NEST that was built with MPI, which no wheel is, and mpirun; so its name is not one that
pytest collects, and CI, which has neither, does not run it. Without them it fails: nothing here is
skipped or stands in for MPI.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troupe.core.errors import EngineError, UserError
from troupe.core.settings import validated
from troupe.engines.base import Engine
from troupe.engines.conformance import CHECKS, Case, check_engine
from troupe.engines.nest import NestEngine
from troupe.engines.nest_server_client import NestServerClient
from troupe.engines.nest_server_mpi import mpi_command
from troupe.engines.nest_server_program import MPI_ENVIRONMENT
from troupe.engines.nest_server_settings import NestServerSettings

MS = 1_000_000

# connected, weighted and driven at random by NEST itself, whose random numbers follow from its seed
# and the number of processes times threads; odd sizes, so that processes have unlike shares
NETWORK = """
def network(nest, size=7):
    a = nest.Create("iaf_psc_alpha", size, params={"V_m": nest.random.uniform(-70.0, -56.0)})
    b = nest.Create("iaf_psc_exp", 5, params={"I_e": 300.0})
    noise = nest.Create("poisson_generator", params={"rate": 8000.0})
    nest.Connect(noise, a, syn_spec={"weight": 60.0})
    rule = {"rule": "fixed_indegree", "indegree": 3}
    weight = nest.random.uniform(100.0, 400.0)
    nest.Connect(a, b, rule, syn_spec={"weight": weight, "delay": 1.5})
    nest.Connect(b, a, rule, syn_spec={"weight": -50.0, "delay": 1.0})
    return {"a": a, "b": b}
"""

PACKS = {
    "current": {"kind": "current", "population": "a"},
    "noise": {"kind": "poisson", "population": "a", "weight": 300.0},
    "kicks": {"kind": "inject", "population": "b", "weight": 2000.0},
    "capacity": {"kind": "parameter", "population": "a", "field": "C_m", "unit": "pF"},
    "potential": {"kind": "parameter", "population": "a", "field": "V_m", "unit": "mV"},
    "weights": {"kind": "weight", "source": "a", "target": "b"},
    "spikes_a": {"kind": "spikes", "population": "a"},
    "spikes_b": {"kind": "spikes", "population": "b"},
    "rate": {"kind": "rate", "population": "b"},
    "voltage": {"kind": "voltage", "population": "b"},
}

DRIVE = {
    "current": (0.0, 500.0),
    "noise": (0.0, 2000.0),
    "kicks": (0.0, 3.0),
    "capacity": (200.0, 300.0),
    "weights": (100.0, 300.0),
}

# alone and among others it gives other results: NEST's random numbers are for the whole kernel
CALM_NETWORK = """
def network(nest):
    a = nest.Create("iaf_psc_alpha", 4)
    b = nest.Create("iaf_psc_exp", 3, params={"I_e": 300.0})
    nest.Connect(a, b, syn_spec={"weight": 200.0, "delay": 1.5})
    return {"a": a, "b": b}
"""


def mpi_python() -> Path:
    """The interpreter of the NEST with MPI that is on PATH."""
    return Path(mpi_command("this test", None, "mpirun", 2)[-2])


def server_engine(
    tmp_path: Path, num_instances: int = 2, network: str = NETWORK, **settings: Any
) -> NestEngine:
    (tmp_path / "brain.py").write_text(network)
    values = {"network": tmp_path / "brain.py", "packs": PACKS, "processes": 2, **settings}
    parsed = validated(NestServerSettings, values, "engines.brain")
    return parsed.build("brain", num_instances, 1)


def case_of(tmp_path: Path, **settings: Any) -> Case:
    def make(num_instances: int, threads: int) -> Engine:
        return server_engine(tmp_path, num_instances, **{"threads": threads, **settings})

    return Case(make, drive=DRIVE, step_ns=5 * MS)


def processes_of(engine: NestEngine) -> list[int]:
    """The process ids of mpirun and of what it started."""
    launcher = engine._kernel.program.pid  # type: ignore[attr-defined]
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return [launcher, *map(int, children)]


def running(pids: list[int]) -> list[int]:
    stats = {pid: Path(f"/proc/{pid}/stat") for pid in pids}
    return [p for p, stat in stats.items() if stat.exists() and ") Z " not in stat.read_text()]


def assert_all_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 20.0
    while running(pids):
        assert time.monotonic() < deadline, f"{running(pids)} still run"
        time.sleep(0.1)


@pytest.mark.parametrize("check", CHECKS)
def test_conforms(tmp_path: Path, check: Callable[[Case], None]) -> None:
    check_engine(case_of(tmp_path, network=CALM_NETWORK), (check,))


@pytest.mark.parametrize(("processes", "threads"), [(2, 1), (2, 2), (3, 1)])
def test_processes_give_what_as_many_threads_give(
    tmp_path: Path, processes: int, threads: int
) -> None:
    seeds = range(4)
    mpirun = "mpirun --oversubscribe"
    case = case_of(tmp_path, processes=processes, threads=threads, mpirun=mpirun)
    with case.engine(3) as engine:
        several = case.run(engine, seeds)
    case = case_of(tmp_path, processes=1, threads=processes * threads, python=mpi_python())
    with case.engine(3) as engine:
        one = case.run(engine, seeds)
    for spikes in ("spikes_a", "spikes_b"):
        assert sum(values[spikes].sum() for values in one) > 20
    for values, expected in zip(several, one, strict=True):
        for pack in expected:
            assert np.array_equal(values[pack], expected[pack]), pack


def test_values_of_neurons_and_synapses_stay_in_order(tmp_path: Path) -> None:
    engine = server_engine(tmp_path)
    assert len(processes_of(engine)) == 3
    engine.reset([0, 1])
    potentials_mv = -70.0 + np.arange(14).reshape(2, 7) / 7
    weights = 100.0 + np.arange(30).reshape(2, 15)
    engine.write("potential", potentials_mv)
    engine.write("weights", weights)
    engine.advance(0)
    assert np.array_equal(engine.read("potential"), potentials_mv)
    assert np.array_equal(engine.read("weights"), weights)
    engine.write("weights", weights[:1] + 50.0, np.array([0]))
    engine.advance(0)
    assert np.array_equal(engine.read("weights"), weights + [[50.0], [0.0]])
    engine.close()


def test_each_neuron_fires_when_it_alone_is_driven(tmp_path: Path) -> None:
    network = "def network(nest):\n    return {'a': nest.Create('iaf_psc_alpha', 5)}\n"
    packs = {
        "kicks": {"kind": "inject", "population": "a", "weight": 5000.0},
        "spikes": {"kind": "spikes", "population": "a"},
    }
    engine = server_engine(tmp_path, 1, network, packs=packs)
    engine.reset([0])
    for neuron in range(5):
        engine.write("kicks", np.eye(5, dtype=np.int32)[[neuron]])
        engine.advance(20 * MS)
        assert np.flatnonzero(engine.read("spikes")[0]).tolist() == [neuron]
    engine.close()


def test_an_error_in_the_process_that_has_the_neuron(tmp_path: Path) -> None:
    engine = server_engine(tmp_path)
    for neuron in (0, 1):  # they are in different processes
        engine.reset([0, 1])
        capacities_pf = np.full((2, 7), 250.0)
        capacities_pf[0, neuron] = -1.0
        engine.write("capacity", capacities_pf)
        with pytest.raises(EngineError, match=r"engines\.brain: .*[Cc]apacitance"):
            engine.advance(MS)
    engine.reset([0, 1])
    engine.advance(MS)
    engine.close()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("raise ValueError('mine')", r"line 2: raise.*ValueError: mine"),
        ("if nest.Rank() == 1: raise ValueError('mine')", r"line 2: if nest.*ValueError: mine"),
        ("return {'a': nest.Create('parrot_neuron', 1 + nest.Rank())}", "other populations in pro"),
        ("import nowhere", r"line 2: import nowhere.*ModuleNotFoundError"),
    ],
)
def test_a_network_that_raises_shows_the_users_line(
    tmp_path: Path, line: str, message: str
) -> None:
    network = f"def network(nest):\n    {line}\n    return {{'a': nest.Create('parrot_neuron')}}\n"
    with pytest.raises(UserError, match=rf"(?s)engines\.brain\.network: .*{message}"):
        server_engine(tmp_path, network=network)


def test_a_process_that_fails_alone_does_not_let_the_others_wait_for_ever(tmp_path: Path) -> None:
    network = (
        "def network(nest):\n"
        "    a = nest.Create('parrot_neuron', 3)\n"
        "    if nest.Rank() == 1:\n"
        "        raise ValueError('mine')\n"
        "    nest.Simulate(1.0)\n"
        "    return {'a': a}\n"
    )
    with pytest.raises(EngineError, match=r"(?s)nest-server ended.*process 1 failed alone: mine"):
        server_engine(tmp_path, network=network)


@pytest.mark.parametrize("ended_by", ["close", "mpirun killed", "process killed"])
def test_all_processes_end(tmp_path: Path, ended_by: str) -> None:
    engine = server_engine(tmp_path)
    pids = processes_of(engine)
    assert len(running(pids)) == 3
    if ended_by != "close":
        os.kill(pids[0] if ended_by == "mpirun killed" else pids[-1], signal.SIGKILL)
        assert_all_end(pids)
        with pytest.raises(EngineError, match=r"engines\.brain: "):
            engine.advance(MS)
    engine.close()
    assert_all_end(pids)


@pytest.fixture(params=["false", "true"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, bool]]:
    """A server of two processes that someone else started, and whether scripts are restricted."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        **MPI_ENVIRONMENT,
        "NEST_SERVER_ACCESS_TOKEN": "right",
        "NEST_SERVER_ENABLE_EXEC_CALL": "true",
        "NEST_SERVER_DISABLE_RESTRICTION": request.param,
    }
    command = [*mpi_command("this test", None, "mpirun", 2), "--port", str(port)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        url = f"http://127.0.0.1:{port}"
        client = NestServerClient(url, "right", "test", timeout_s=5.0)
        for _ in range(300):
            try:
                client.version()
                break
            except EngineError:
                time.sleep(0.1)
        yield url, request.param == "false"
        process.terminate()


def test_a_server_that_runs_already(
    tmp_path: Path, server: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, is_restricted = server
    monkeypatch.setenv("NEST_SERVER_ACCESS_TOKEN", "right")
    settings = {"url": url, "processes": 1, "network": CALM_NETWORK}
    if is_restricted:
        with pytest.raises(UserError, match=r"brain\.url: .*NEST_SERVER_DISABLE_RESTRICTION=true"):
            server_engine(tmp_path, **settings)
    else:
        engine = server_engine(tmp_path, **settings)
        engine.reset([0, 1])
        engine.write("kicks", 1)
        engine.advance(50 * MS)
        assert (engine.read("spikes_b") > 0).all()
        engine.close()
    # it is not this engine's to end
    client = NestServerClient(url, "right", "test")
    assert client.call("GetKernelStatus", ["num_processes"]) == 2
