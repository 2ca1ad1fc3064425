"""Training that begins again by itself where it stood, whatever it died of."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from troupe.fleet.runs import RunDirectory

DONE, FAILED, USER_ERROR, INTERRUPTED = 0, 1, 2, 130
RESTARTS_WITHOUT_PROGRESS = 3


def supervise(
    first: Sequence[str],
    again: Sequence[str],
    out: Path,
    report: Callable[[str], None],
) -> int:
    """Run ``troupe train`` in a process of its own until it is done, and return its exit status.

    One that dies, of a signal, of a lost Ray head or of any error in mid-run, is started again
    and goes on from its newest checkpoint. What the user got wrong, and an interruption, end it;
    so do several deaths in a row between which no checkpoint was written.

    Args:
        first: arguments of ``troupe`` for the first start.
        again: arguments with which it resumes.
        out: the run directory that both name.
        report: called with a line for each restart.
    """
    arguments, deaths = first, 0
    while True:
        before = _checkpoint(out)
        status = _run([sys.executable, "-m", "troupe", *arguments])
        if status in (DONE, USER_ERROR, INTERRUPTED):
            return status
        reached = _checkpoint(out)
        deaths = 1 if reached != before else deaths + 1
        if deaths > RESTARTS_WITHOUT_PROGRESS:
            report(f"died {deaths} times in a row at checkpoint {reached}: giving up")
            return FAILED
        report(f"died of {_described(status)}; goes on from checkpoint {reached}")
        if (out / "config.yaml").is_file():
            arguments = again


def _run(command: Sequence[str]) -> int:
    """Run a command, hand on the signals that reach this process, and return its exit status."""
    # a session of its own: Ctrl-C reaches it through this process, once
    process = subprocess.Popen(command, start_new_session=True)

    def hand_on(number: int, frame: FrameType | None) -> None:
        del frame
        process.send_signal(number)

    handled = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, hand_on) for number in handled]
    try:
        return process.wait()
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)


def _checkpoint(out: Path) -> str:
    """Return the name of the newest checkpoint, "0" before the first."""
    if not (out / "config.yaml").is_file():
        return "0"
    run = RunDirectory.open(out)
    return run.latest_checkpoint().name if run.has_checkpoint() else "0"


def _described(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"an error (exit status {status})"
