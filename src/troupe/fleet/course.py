"""How a supervised run goes while parts of it are killed, as seen from outside."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from troupe.core.errors import TroupeError
from troupe.fleet.status import STATUS
from troupe.fleet.storm import Blow, Status, Target, kill, target_of

LOOK_EVERY_S = 0.05
STUCK_AFTER_S = 300.0
"""How long a run may learn nothing at all before it is given up."""


@dataclass
class Hit:
    """A part that was killed.

    Attributes:
        at_s: since the run began to learn.
        part: what was killed.
        number: which one.
        arrived: steps that had arrived by then.
        steps: of these, learned from.
        back_s: until a new process was there; None if the run ended before.
        recovered_s: until the run was further than it had been; None if it ended before.
        lost: steps that had arrived, and were not there any more when it was back.
    """

    at_s: float
    part: str
    number: int
    arrived: int
    steps: int
    back_s: float | None = None
    recovered_s: float | None = None
    lost: int = 0


@dataclass
class Course:
    """How a run went.

    Attributes:
        run: its directory.
        learning_s: from the first start of learning to its end, all that happened included.
        steps: that were learned from.
        hits: parts that were killed.
        missed: how often a part that was to be killed was not there, being down already.
    """

    run: Path
    learning_s: float
    steps: int
    hits: list[Hit] = field(default_factory=list)
    missed: int = 0


@dataclass(frozen=True)
class Blows:
    """What is to come, until a number of steps is learned from, and who is told of it."""

    blows: Sequence[Blow] = ()
    until_steps: int = 0
    report: Callable[[str], None] = print


def follow(command: Sequence[str], run: Path, blows: Blows = Blows()) -> Course:
    """Run a supervised training and strike it."""
    (run / STATUS).unlink(missing_ok=True)  # of a run that is replaced
    with run.with_suffix(".err").open("w+") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        try:
            return _Follower(process, run, blows).follow(errors)
        except BaseException:
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise


class _Follower:
    """Looks at a run from outside, and kills what a storm hits."""

    def __init__(self, process: subprocess.Popen[bytes], run: Path, blows: Blows) -> None:
        self._process, self._run = process, run
        self._until_steps, self._report = blows.until_steps, blows.report
        self._blows = list(blows.blows)
        self._missed = 0
        self._status: Status = {}
        self._began_s = self._changed_s = self._learned_s = time.monotonic()
        self._hits: list[tuple[Hit, Target, Status]] = []

    def follow(self, errors: IO[str]) -> Course:
        """Return how the run went, when it is over.

        Raises:
            TroupeError: if it failed, or nothing happens any more.
        """
        while self._process.poll() is None:
            time.sleep(LOOK_EVERY_S)
            self._look()
            if self._status:
                self._strike()
            if time.monotonic() - self._changed_s > STUCK_AFTER_S:
                raise TroupeError(f"run '{self._run}' has learned nothing for {STUCK_AFTER_S:g} s.")
        self._look()
        if self._process.returncode:
            errors.seek(0)
            said = errors.read()[-2000:].strip()
            raise TroupeError(f"run '{self._run}' ended with {self._process.returncode}: {said}")
        hits = [hit for hit, _, _ in self._hits]
        learning_s = self._learned_s - self._began_s
        return Course(self._run, learning_s, self._status["steps"], hits, self._missed)

    def _look(self) -> None:
        """Read the run's status, and note what is new in it."""
        file, now = self._run / STATUS, time.monotonic()
        if not file.is_file():
            self._began_s = self._changed_s = now
            return
        before, self._status = self._status, json.loads(file.read_text())
        if self._status["steps"] > before.get("steps", 0):
            self._changed_s = self._learned_s = now
        for hit, target, then in self._hits:
            self._follow_up(hit, target, then, now - self._began_s - hit.at_s)

    def _follow_up(self, hit: Hit, target: Target, then: Status, passed_s: float) -> None:
        """Note when what was hit is back, and when the run is further than it was."""
        status = self._status
        if hit.back_s is None:
            is_back = _is_back(target, then, status)
            if is_back and status["process"] != then["process"]:
                hit.lost = max(0, hit.arrived - status["arrived"])
            hit.back_s = passed_s if is_back else None
        elif hit.recovered_s is None and status["steps"] > hit.steps:
            hit.recovered_s = passed_s

    def _strike(self) -> None:
        """Kill what is due, if it is there at the moment."""
        now_s = time.monotonic() - self._began_s
        while self._blows and self._blows[0].at_s <= now_s and not self._is_over():
            target = target_of(self._blows.pop(0), self._status)
            if target is None or not kill(target, self._status, self._process.pid):
                self._missed += 1
                continue
            arrived, steps = self._status["arrived"], self._status["steps"]
            hit = Hit(now_s, target.part, target.number, arrived, steps)
            self._hits.append((hit, target, self._status))
            self._report(f"{now_s:6.1f} s: killed {target.part} {target.number} at step {steps:,}")

    def _is_over(self) -> bool:
        return bool(self._status["steps"] >= self._until_steps)


def _is_back(target: Target, then: Status, status: Status) -> bool:
    """Return whether there is another process in the place of what was hit."""
    places = {"actor": "workers", "learner": "learners"}.get(target.part, "")
    if not then.get(places):  # it was the training process, or ended that
        return bool(status["process"] != then["process"])
    name = places.removesuffix("s")
    new = [p["process"] for p in status.get(places, ()) if p[name] == target.number]
    return any(process != target.process for process in new)
