"""`troupe train --supervise`, as users start it, and what it does about deaths."""

import json
import os
import re
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

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.slow]

PATIENCE_S = 120
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
        ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
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
