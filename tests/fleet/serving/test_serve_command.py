import signal
import subprocess
import sys

import pytest
from fleets import SHORT, assert_same, children, simulated, stepped
from typer.testing import CliRunner

from troupe.cli.main import app
from troupe.core import EngineError, UserError

OPTIONS = ["--instances", "6", "--workers", "2", "--seed", "3", "--port", "0"]


def run(*options, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "troupe", "serve", "scara-reach", "--set", SHORT[0], *options],
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


@pytest.fixture
def server(tmp_path):
    """Run the command in a process of its own, with a token, and return it and what it says."""
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o600)
    process = run(*OPTIONS, "--token-file", str(token))
    lines = [process.stderr.readline() for _ in range(2)]
    yield process, lines
    process.kill()
    process.communicate()


def test_it_tells_how_to_connect_and_ctrl_c_ends_all_of_it(server, open_fleet):
    process, (serving, how) = server
    assert serving.startswith("serving 6 instances of scara-reach, stepped by 2 processes, at grpc")
    address = serving.split()[-1]
    assert how == (
        f"connect, with the token in TROUPE_TOKEN: fleet = troupe.connect('{address}')\n"
    )
    fleet = open_fleet(address, token="secret")
    assert_same(stepped(fleet, 2), simulated(6, 2, seed=3))
    pids = children(process.pid)
    assert len(pids) >= 2
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "stopping\n")
    assert not [pid for pid in pids if runs(pid)]


def test_workers_of_a_server_that_is_killed_end_with_it(server, open_fleet):
    process, (serving, _) = server
    fleet = open_fleet(serving.split()[-1], token="secret")
    pids = children(process.pid)
    fleet.recv(min_ready=6)
    process.kill()
    process.wait()
    while any(runs(pid) for pid in pids):
        pass
    with pytest.raises(EngineError, match="cannot be reached"):
        open_fleet(serving.split()[-1], token="secret")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "can be reached by others: give them a token"),
        (["--tls-cert", "cert.pem"], "give both --tls-cert and --tls-key"),
        (["--token-file", "none"], "token file 'none' cannot be read"),
        (["--clients", "0"], "clients: 0; valid: 1 or more"),
        (["--keep", "1"], "'1' is not a duration"),
        (["--workers", "9"], "fleet.workers: 9 is more than"),
        (["--set", "task=null"], "has no task"),
    ],
)
def test_wrong_options_are_refused(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["serve", "scara-reach", "--instances", "6", "--port", "0", *options]
    result = CliRunner().invoke(app, given)
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


def runs(pid):
    """Return whether a process runs; one that only waits to be collected does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - gone at any time
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
