"""`troupe train --supervise`, as users start it, and what it does about deaths."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fleet.test_training import assert_same_run
from troupe.fleet.launch import run_training
from troupe.fleet.supervision import supervise

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE_S = 300
EVERY = "fleet.checkpoint_every=500ms"


@contextmanager
def supervised(experiment, out: Path) -> Iterator[subprocess.Popen]:
    """A supervisor of a run; whatever a failing test leaves is ended."""
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(experiment.resolved()))
    command = [sys.executable, "-m", "troupe", "train", str(file), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--supervise", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        for descendant in descendants(process.pid):
            os.kill(descendant, signal.SIGKILL)
        process.kill()
        process.communicate()


def descendants(process: int) -> dict[int, str]:
    """Processes below one, and their commands."""
    table = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in table.stdout.splitlines()]
    found: dict[int, str] = {}
    below = {process}
    while below:
        children = {int(pid): args for pid, parent, args in rows if int(parent) in below}
        found |= children
        below = set(children)
    return found


def until(look: Callable[[], Any]) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def status(run: Path) -> dict[str, Any]:
    file = run / "status.json"
    return json.loads(file.read_text()) if file.is_file() else {"steps": 0, "process": 0}


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, errors = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out.decode(), errors.decode()


@pytest.fixture
def long(small):
    """An experiment of some seconds of sampling, whose simulator is slow."""
    return lambda *more, steps=4096: small(EVERY, "engines.arm.step_time=1ms", *more, steps=steps)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_training_process_goes_on_by_itself_bitwise(small, long, tmp_path, workers):
    run_training(small(steps=4096), tmp_path / "calm")
    run = tmp_path / "storm"
    with supervised(long(f"fleet.workers={workers}"), run) as supervisor:
        first = until(lambda: status(run)["steps"] > 1024 and status(run))
        assert first["process"] in descendants(supervisor.pid)
        os.kill(first["process"], signal.SIGKILL)
        code, out, errors = ended(supervisor)
    assert code == 0, errors
    assert re.search(r"died of SIGKILL at step \d{3,}; goes on", errors)
    assert json.loads(out)["dropped_steps"] == 0
    assert status(run)["process"] != first["process"]
    assert_same_run(tmp_path / "calm", run)


@pytest.mark.parametrize("program", ["gcs_server", "raylet"])
def test_a_run_whose_ray_dies_goes_on_by_itself_bitwise(small, long, tmp_path, program):
    run_training(small(steps=4096), tmp_path / "calm")
    run = tmp_path / "storm"
    with supervised(long("fleet.workers=2"), run) as supervisor:
        first = until(lambda: status(run)["steps"] > 1024 and status(run))
        (head,) = [
            process
            for process, args in descendants(supervisor.pid).items()
            if args.split()[0].endswith(f"/{program}")
        ]
        os.kill(head, signal.SIGKILL)
        if program == "raylet":  # without the other one, Ray works for a while
            again = until(lambda: status(run)["process"] != first["process"] and status(run))
            assert again["arrived"] >= first["arrived"]
        code, _, errors = ended(supervisor)
    assert code == 0, errors
    assert_same_run(tmp_path / "calm", run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_reaches_the_run_and_leaves_no_process(long, tmp_path, number):
    run = tmp_path / "run"
    with supervised(long("fleet.workers=2", steps=10**7), run) as supervisor:
        until(lambda: status(run)["steps"])
        below = descendants(supervisor.pid)
        supervisor.send_signal(number)
        code, _, errors = ended(supervisor)
    assert code == 130, errors
    assert f"troupe train --resume {run}" in errors
    running = descendants(1).keys() | descendants(os.getpid()).keys()
    assert not below.keys() & running
    assert json.loads((run / "summary.json").read_text())["stop_reason"] == "interrupted"


def places(run: Path) -> set[int]:
    """The processes of a run's workers."""
    return {worker["process"] for worker in status(run).get("workers", ())}


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_workers_go_on_with_the_next_learner(long, tmp_path, mode):
    run = tmp_path / "run"
    more = (f"fleet.mode={mode}", "fleet.workers=3", "fleet.workers_per_process=2")
    with supervised(long(*more, steps=10**7), run) as supervisor:
        first = until(lambda: len(places(run)) == 2 and status(run))
        below = descendants(supervisor.pid).keys()
        workers = places(run)
        killed = min(workers)
        os.kill(first["process"], signal.SIGKILL)
        os.kill(killed, signal.SIGKILL)
        again = until(
            lambda: (
                status(run)["process"] != first["process"] and len(places(run)) == 2 and status(run)
            )
        )
        assert again["steps"] >= first["steps"]
        assert again["arrived"] >= first["arrived"]
        assert places(run) & workers == workers - {killed}
        until(lambda: status(run)["steps"] > again["arrived"])
        supervisor.send_signal(signal.SIGTERM)
        assert ended(supervisor)[0] == 130
    assert not below & (descendants(1).keys() | descendants(os.getpid()).keys())


def test_workers_end_with_a_killed_supervisor(long, tmp_path):
    run = tmp_path / "run"
    with supervised(long("fleet.workers=2", steps=10**7), run) as supervisor:
        until(lambda: status(run)["steps"])
        below = descendants(supervisor.pid).keys()
        supervisor.send_signal(signal.SIGKILL)
        until(lambda: not below & (descendants(1).keys() | descendants(os.getpid()).keys()))


def test_what_the_user_got_wrong_ends_at_once(tmp_path):
    lines: list[str] = []
    assert supervise(["train", "no-such-experiment"], [], tmp_path / "run", lines.append) == 2
    assert lines == []


def test_a_run_that_dies_again_and_again_is_given_up(tmp_path, monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    assert supervise(["train"], [], tmp_path / "run", lines.append) == 1
    assert lines[0] == "died of an error (exit status 1) at step 0; goes on from there"
    assert lines[-1] == "died 4 times in a row at step 0: giving up"
    assert len(lines) == 4
