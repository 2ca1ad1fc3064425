import os
import signal
import socket
import subprocess
import sys
import time
import venv
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
from troupe.engines.nest_server_settings import NestServerSettings
from troupe.engines.nest_settings import NestSettings

MS = 1_000_000

NETWORK = """
import numpy as np


def network(nest, size=4, weight=200.0):
    a = nest.Create("iaf_psc_alpha", size)
    b = nest.Create("iaf_psc_exp", size // 2, params={"I_e": 300.0})
    nest.Connect(a, b, syn_spec={"weight": weight, "delay": 1.5})
    return {"a": a, "b": b}
"""

PACKS = {
    "current": {"kind": "current", "population": "a"},
    "noise": {"kind": "poisson", "population": "a", "weight": 300.0},
    "kicks": {"kind": "inject", "population": "b", "weight": 2000.0},
    "capacity": {"kind": "parameter", "population": "a", "field": "C_m", "unit": "pF"},
    "weights": {"kind": "weight", "source": "a", "target": "b"},
    "spikes": {"kind": "spikes", "population": "b"},
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


def server_engine(
    tmp_path: Path, network: str = NETWORK, num_instances: int = 2, **settings: Any
) -> NestEngine:
    (tmp_path / "brain.py").write_text(network)
    values = {"network": tmp_path / "brain.py", "packs": PACKS, **settings}
    parsed = validated(NestServerSettings, values, "engines.brain")
    return parsed.build("brain", num_instances, 1)


def server_case(tmp_path: Path) -> Case:
    def make(num_instances: int, threads: int) -> Engine:
        return server_engine(tmp_path, num_instances=num_instances, threads=threads)

    return Case(make, drive=DRIVE, step_ns=5 * MS)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_conforms(tmp_path: Path, check: Callable[[Case], None]) -> None:
    check_engine(server_case(tmp_path), (check,))


def test_does_the_same_as_nest_in_this_process(tmp_path: Path) -> None:
    case = server_case(tmp_path)
    with case.engine(3) as engine:
        there = case.run(engine, range(4))
    settings = validated(NestSettings, {"network": tmp_path / "brain.py", "packs": PACKS})
    case = Case(lambda n, _: settings.build("brain", n, 1), drive=DRIVE, step_ns=5 * MS)
    with case.engine(3) as engine:
        here = case.run(engine, range(4))
    assert any(values["spikes"].any() for values in here)
    for values, expected in zip(there, here, strict=True):
        for pack in expected:
            assert np.array_equal(values[pack], expected[pack]), pack


def test_errors_in_the_server_and_its_end(tmp_path: Path) -> None:
    engine = server_engine(tmp_path)
    engine.reset([0, 1])
    engine.write("capacity", -1.0)
    with pytest.raises(EngineError, match=r"engines\.brain: .*[Cc]apacitance"):
        engine.advance(MS)
    engine.reset([0, 1])
    engine.advance(MS)
    program = engine._kernel.program  # type: ignore[attr-defined]
    os.killpg(program.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match=r"engines\.brain: .*(ended with code -9|no NEST server)"):
        engine.advance(MS)
    engine.close()
    engine.close()


def test_the_server_ends_with_its_engine(tmp_path: Path) -> None:
    engine = server_engine(tmp_path)
    pid = engine._kernel.program.pid  # type: ignore[attr-defined]
    os.kill(pid, 0)
    engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_network_that_raises_there_shows_the_users_line(tmp_path: Path) -> None:
    network = "def network(nest):\n    size = 3\n    return {'a': nest.Create('iaf_psc', size)}\n"
    message = r"(?s)engines\.brain\.network: .*line 3: return \{'a': nest.Create.*iaf_psc"
    with pytest.raises(UserError, match=message):
        server_engine(tmp_path, network)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("def network(nest):\n    return (\n", r"line 2: '\(' was never closed"),
        ("def brain(nest):\n    pass\n", r"unknown name 'network'.*Valid: brain"),
        ("def network(nest, rng):\n    pass\n", r"cannot have 'rng'"),
    ],
)
def test_a_wrong_file_is_found_before_a_server_starts(
    tmp_path: Path, network: str, message: str
) -> None:
    with pytest.raises(UserError, match=rf"(?s)engines\.brain\.network: .*{message}"):
        server_engine(tmp_path, network)


def test_several_processes_need_a_nest_with_mpi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    message = (
        r"engines\.brain\.processes: 2 processes need a NEST that was built with MPI.*"
        rf"\({sys.executable} has NEST 3\S* without MPI\).*engines\.brain\.python.*threads: 2"
    )
    with pytest.raises(UserError, match=message):
        server_engine(tmp_path, processes=2)


def test_other_environments_are_looked_at_for_mpi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = environment_without_nest(tmp_path)
    nothing = rf"{folder}/python\S* cannot import NEST: .*No module named 'nest'"
    with pytest.raises(UserError, match=rf"engines\.brain\.processes: .*\({nothing}\)"):
        server_engine(tmp_path, processes=2, python=folder / "python")
    (folder / "nest-server-mpi").touch()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UserError, match=rf"without MPI; {nothing}"):
        server_engine(tmp_path, processes=2)


def test_an_environment_without_a_server(tmp_path: Path) -> None:
    folder = environment_without_nest(tmp_path)
    message = rf"engines\.brain: there is no program 'nest-server' in {folder}"
    with pytest.raises(UserError, match=message):
        server_engine(tmp_path, python=folder / "python")


@pytest.mark.parametrize("settings", [{"processes": 2}, {"python": Path(sys.executable)}])
def test_a_server_that_runs_already_has_its_own_processes(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(
        UserError, match=r"engines\.brain: 'processes' and 'python' are for a server"
    ):
        server_engine(tmp_path, url="http://127.0.0.1:1", **settings)


def environment_without_nest(tmp_path: Path) -> Path:
    """Make an environment that has Python only; return the folder of its programs."""
    venv.create(tmp_path / "environment", with_pip=False)
    return tmp_path / "environment" / "bin"


def test_a_url_where_nobody_answers(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EngineError, match=rf"engines\.brain: no NEST server answers at {url}"):
            server_engine(tmp_path, url=url)


@pytest.fixture
def restricted_server() -> Iterator[str]:
    """A server as its makers recommend it, with a token and scripts that are restricted."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "NEST_SERVER_ACCESS_TOKEN": "right",
        "NEST_SERVER_ENABLE_EXEC_CALL": "true",
        "NEST_SERVER_LOGFILE": "-",
    }
    command = [str(folder / "nest-server"), "start", "-o", "-p", str(port), "-t", "0"]
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
        yield url
        process.terminate()


def test_a_server_that_runs_already(
    tmp_path: Path, restricted_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "wrong")
    settings = {"url": restricted_server, "token_env": "MY_TOKEN"}
    with pytest.raises(UserError, match=r"engines\.brain\.token_env: .* does not accept the token"):
        server_engine(tmp_path, **settings)
    monkeypatch.setenv("MY_TOKEN", "right")
    with pytest.raises(UserError, match=r"(?s)engines\.brain\.network: .*iaf_psc"):
        server_engine(
            tmp_path, "def network(nest):\n    return {'a': nest.Create('iaf_psc')}\n", **settings
        )
    engine = server_engine(tmp_path, **settings)
    engine.reset([0, 1])
    engine.write("current", 500.0)
    engine.write("weights", 300.0)
    engine.write("kicks", 1)
    engine.advance(50 * MS)
    assert engine.read("spikes").any()
    engine.close()
    # it is not this engine's to end
    assert NestServerClient(restricted_server, "right", "test").version()["nest"].startswith("3.")
