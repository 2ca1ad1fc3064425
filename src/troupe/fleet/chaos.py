"""A run under a storm beside an undisturbed one: what was lost, and what it cost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import yaml

from troupe.core.errors import TroupeError
from troupe.experiments.load import apply_overrides, build_experiment
from troupe.experiments.schema import Experiment
from troupe.fleet.evaluation import Evaluator
from troupe.fleet.runs import RunDirectory
from troupe.fleet.status import STATUS
from troupe.fleet.storm import Blow, Status, Target, kill, target_of

LOOK_EVERY_S = 0.05
STUCK_AFTER_S = 300.0
"""How long a run may learn nothing at all before it is given up."""

EVALUATION_SEED_OFFSET = 9_000_011


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
    """

    run: Path
    learning_s: float
    steps: int
    hits: list[Hit] = field(default_factory=list)


def run_chaos(
    experiment: Experiment,
    blows: Sequence[Blow],
    out: Path,
    *,
    duration_s: float,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train an experiment undisturbed for a time, then as far under a storm; compare the two.

    Args:
        experiment: with a task and a learner.
        blows: the storm.
        out: directory for both runs.
        duration_s: of the undisturbed run.
        report: called with a line about what happens.

    Returns:
        The comparison, as plain values.

    Raises:
        TroupeError: if one of the runs fails.
    """
    out.mkdir(parents=True, exist_ok=True)
    report(f"training {duration_s:g} s undisturbed")
    wall_time = f"wall_time={round(duration_s * 1000)}ms"
    calm = _follow(_command(experiment, out / "calm", wall_time), out / "calm")
    report(f"{calm.steps:,} steps in {calm.learning_s:.1f} s; as many again in the storm")
    stop = f"stop={{metric: steps, bound: at-least, value: {calm.steps}}}"
    command = _command(experiment, out / "storm", stop)
    storm = _follow(command, out / "storm", _Blows(blows, calm.steps, report))
    return compare(experiment, calm, storm)


def compare(experiment: Experiment, calm: Course, storm: Course) -> dict[str, Any]:
    """Return what a storm cost, as plain values."""
    summary = RunDirectory.open(storm.run).read_json("summary.json")
    again = sum(hit.lost for hit in storm.hits)
    # without workers nothing is kept in between, since it is sampled again bit for bit
    is_repeated = experiment.fleet.workers == 0
    restarts = [hit for hit in storm.hits if hit.part != "actor"]
    rate = {course.run.name: course.steps / course.learning_s for course in (calm, storm)}
    return {
        "experiment": experiment.name,
        "seed": experiment.seed,
        "runs": {"calm": str(calm.run), "storm": str(storm.run)},
        "steps": {
            "learned": storm.steps,
            "sampled": storm.steps + summary["dropped_steps"],
            "acknowledged_lost": 0 if is_repeated else again,
            "sampled_again": again if is_repeated else 0,
            "unacknowledged_lost": summary["dropped_steps"],
        },
        "steps_per_s": rate,
        "throughput_retained": rate["storm"] / rate["calm"],
        "return": _returns(experiment, calm.run, storm.run),
        "kills": {part: sum(h.part == part for h in storm.hits) for part in _parts(storm)},
        "restarts": len(restarts),
        "recovery_s": _spread([h.recovered_s for h in restarts]),
        "actor_back_s": _spread([h.back_s for h in storm.hits if h.part == "actor"]),
        "hits": [asdict(hit) for hit in storm.hits],
    }


def _command(experiment: Experiment, run: Path, override: str) -> list[str]:
    """Return the supervised training of an experiment, with one more setting."""
    description = build_experiment(apply_overrides(experiment.resolved(), [override])).resolved()
    file = run.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(description, sort_keys=False))
    command = [sys.executable, "-m", "troupe", "train", str(file), "--out", str(run), "--force"]
    return [*command, "--supervise", "--json"]


@dataclass(frozen=True)
class _Blows:
    """What is to come, until a number of steps is learned from, and who is told of it."""

    blows: Sequence[Blow] = ()
    until_steps: int = 0
    report: Callable[[str], None] = print


def _follow(command: Sequence[str], run: Path, blows: _Blows = _Blows()) -> Course:
    """Run a supervised training and strike it."""
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

    def __init__(self, process: subprocess.Popen[bytes], run: Path, blows: _Blows) -> None:
        self._process, self._run = process, run
        self._until_steps, self._report = blows.until_steps, blows.report
        self._blows = list(blows.blows)
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
        return Course(self._run, learning_s, self._status["steps"], hits)

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
            if target.part == "actor":
                new = [w for w in status["workers"] if w["worker"] == target.number]
                is_back = any(w["process"] != target.process for w in new)
            else:
                is_back = status["process"] != then["process"]
                hit.lost = max(0, hit.arrived - status["arrived"]) if is_back else 0
            hit.back_s = passed_s if is_back else None
        elif hit.recovered_s is None and status["steps"] > hit.steps:
            hit.recovered_s = passed_s

    def _strike(self) -> None:
        """Kill what is due; what is not there at the moment is hit as soon as it is."""
        now_s = time.monotonic() - self._began_s
        while self._blows and self._blows[0].at_s <= now_s and not self._is_over():
            target = target_of(self._blows[0], self._status)
            if target is None or not kill(target, self._status):
                return
            self._blows.pop(0)
            arrived, steps = self._status["arrived"], self._status["steps"]
            hit = Hit(now_s, target.part, target.number, arrived, steps)
            self._hits.append((hit, target, self._status))
            self._report(f"{now_s:6.1f} s: killed {target.part} {target.number} at step {steps:,}")
            if target.part != "actor":
                return  # nothing else to hit until it is back

    def _is_over(self) -> bool:
        return bool(self._status["steps"] >= self._until_steps)


def _returns(experiment: Experiment, calm: Path, storm: Path) -> dict[str, Any]:
    """Return the final policies' returns over the same episodes, and how far they are apart."""
    evaluator = Evaluator(experiment, experiment.evaluation.episodes)
    seed = experiment.seed + EVALUATION_SEED_OFFSET
    found: dict[str, npt.NDArray[np.float64]] = {}
    for run in (calm, storm):
        policy = RunDirectory.open(run).latest_policy()
        found[run.name] = evaluator.run(policy, seed)["return"]
    evaluator.close()
    difference = found["storm"] - found["calm"]
    spread = float(difference.std(ddof=1) / len(difference) ** 0.5) if len(difference) > 1 else 0.0
    return {
        **{name: float(values.mean()) for name, values in found.items()},
        "difference": float(difference.mean()),
        "standard_error": spread,
        "std_over_episodes": float(found["calm"].std()),
        "episodes": len(difference),
    }


def _parts(course: Course) -> list[str]:
    return sorted({hit.part for hit in course.hits})


def _spread(times: Sequence[float | None]) -> dict[str, float] | None:
    known = [value for value in times if value is not None]
    if not known:
        return None
    return {"median": float(np.median(known)), "least": min(known), "greatest": max(known)}
