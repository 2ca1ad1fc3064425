"""A run under a storm beside an undisturbed one: what was lost, and what it cost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from troupe.experiments.load import apply_overrides, build_experiment
from troupe.experiments.schema import Experiment
from troupe.fleet.course import Blows, Course, follow
from troupe.fleet.evaluation import Evaluator
from troupe.fleet.runs import RunDirectory
from troupe.fleet.storm import Blow

EVALUATION_SEED_OFFSET = 9_000_011


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
    calm = follow(_command(experiment, out / "calm", wall_time), out / "calm")
    report(f"{calm.steps:,} steps in {calm.learning_s:.1f} s; as many again in the storm")
    stop = f"stop={{metric: steps, bound: at-least, value: {calm.steps}}}"
    command = _command(experiment, out / "storm", stop)
    storm = follow(command, out / "storm", Blows(blows, calm.steps, report))
    return compare(experiment, calm, storm)


def compare(experiment: Experiment, calm: Course, storm: Course) -> dict[str, Any]:
    """Return what a storm cost, as plain values."""
    summary = RunDirectory.open(storm.run).read_json("summary.json")
    again = sum(hit.lost for hit in storm.hits)
    unexplained = summary["dropped"].get("unknown", 0)
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
            "acknowledged_lost": unexplained + (0 if is_repeated else again),
            "sampled_again": again if is_repeated else 0,
            "unacknowledged_lost": summary["dropped_steps"] - unexplained,
        },
        "steps_per_s": rate,
        "throughput_retained": rate["storm"] / rate["calm"],
        "return": _returns(experiment, calm.run, storm.run),
        "kills": {part: sum(h.part == part for h in storm.hits) for part in _parts(storm)},
        "missed": storm.missed,
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
