import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import end

from troupe.core import EngineError
from troupe.engines.host import open_engine
from troupe.engines.mujoco_settings import MujocoSettings

COMMAND = "import typer; from troupe.cli.engine_server import engine_server as c; typer.run(c)"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Run the command in a process of its own, with a token, and return it and its address."""
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o600)
    monkeypatch.setenv("TROUPE_ENGINE_TOKEN", "secret")
    environment = {n: v for n, v in os.environ.items() if n != "TROUPE_ENGINE_TOKEN"}
    options = ["--bind", "127.0.0.1:0", "--token-file", str(token)]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *options],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    address = process.stderr.readline().split()[-1]
    assert address.startswith("grpc://127.0.0.1:")
    yield process, address
    process.kill()
    process.communicate()


def children(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    own = [int(child) for task in tasks for child in task.read_text().split()]
    return [*own, *(grandchild for child in own for grandchild in children(child))]


def open_arm(address):
    engine = open_engine(MujocoSettings(robot="scara", host=address), "arm", 2, 1)
    engine.reset([0, 1])
    engine.advance(0)
    return engine


def test_a_server_that_dies_takes_its_engines_with_it_and_is_named(server):
    process, address = server
    engine = open_arm(address)
    pids = children(process.pid)
    assert pids
    process.kill()
    with pytest.raises(EngineError, match=f"engine 'arm' on {address}: the connection is lost"):
        engine.advance(20_000_000)
    assert end(pids)
    engine.close()


def test_a_server_that_is_interrupted_ends_well(server):
    process, address = server
    engine = open_arm(address)
    pids = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "stopping\n")
    assert end(pids)
    with pytest.raises(EngineError, match="engine 'arm' on"):
        engine.advance(20_000_000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bind", "0.0.0.0:0"], "'0.0.0.0:0' can be reached by others"),
        (["--tls-cert", "cert.pem"], "give both --tls-cert and --tls-key"),
        (["--token-file", "none"], "token file 'none' cannot be read: No such file"),
    ],
)
def test_wrong_options_are_refused(options, message, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr.replace("\n", "")
