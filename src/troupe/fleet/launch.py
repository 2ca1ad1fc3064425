"""From an experiment to a finished run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from troupe.core.errors import InterruptedRun
from troupe.experiments.schema import Experiment
from troupe.fleet.evaluation import evaluate
from troupe.fleet.offline import ORIGIN, OfflineTraining, Source, source_of
from troupe.fleet.runs import RunDirectory, check_output
from troupe.fleet.signals import interruptible, stopping_on_signals
from troupe.fleet.storage import shown
from troupe.fleet.training import Figures, Training

if TYPE_CHECKING:
    from troupe.fleet.peers.training import PeerTraining

EVALUATION_SEED_OFFSET = 7_000_003
"""Added to the root seed for the evaluation after training, so that its targets are new."""


def run_training(
    experiment: Experiment,
    out: Path,
    *,
    force: bool = False,
    resume: bool = False,
    source: Source | None = None,
    report: Callable[[Figures], None] = lambda figures: None,
) -> dict[str, Any]:
    """Train an experiment into a run directory, evaluate the policy and return the summary.

    Args:
        experiment: with a task and a learner.
        out: the run directory; a new one, or with `resume` an existing one.
        force: whether a run that is there already may be replaced.
        resume: whether to go on from the newest checkpoint in `out`.
        source: of the episodes to learn from; None to sample, or with `resume` as before.
        report: called with the figures of each update.

    Returns:
        What ``summary.json`` holds.

    Raises:
        UserError: if anything is wrong with the experiment or the output; nothing is written then.
        InterruptedRun: if a signal ended it; a checkpoint is written.
    """
    check_place(experiment, out, force=force, resume=resume)
    stop = threading.Event()
    with interruptible(stop):
        known = source_of(RunDirectory.open(out)) if resume else source
        training = open_training(experiment, report, stop, known)
    try:
        with stopping_on_signals(stop):
            run = _run_directory(training, out, force=force, resume=resume)
            reason = training.train(run)
        summary = _summary(run, training, reason)
        run.write_json("summary.json", summary)
        run.log(f"stopped after {training.progress.steps} steps: {reason}")
        if reason == "interrupted":
            raise InterruptedRun(
                f"stopped after {training.progress.steps} steps; "
                f"go on with: troupe train --resume {shown(out)}"
            )
        policy = training.policy()
    finally:
        training.close()
    return {**summary, "evaluation": evaluate_run(run, experiment, policy, summary)}


def open_training(
    experiment: Experiment,
    report: Callable[[Figures], None],
    stop: threading.Event,
    source: Source | None = None,
) -> Training | PeerTraining | OfflineTraining:
    """Return the training of an experiment by one learner, several that merge, or from a store."""
    if source is not None:
        return OfflineTraining(experiment, source, report=report, stop_requested=stop)
    if experiment.fleet.learners == 1:
        return Training(experiment, report=report, stop_requested=stop)
    from troupe.fleet.peers.training import PeerTraining

    return PeerTraining(experiment, report=report, stop_requested=stop)


def check_place(experiment: Experiment, out: Path, *, force: bool, resume: bool) -> None:
    """Check that an experiment can be trained into a new run directory, or resumed in its own.

    Raises:
        UserError: if it cannot.
    """
    if not resume:
        check_output(out, force=force)
    elif RunDirectory.open(out).has_checkpoint():
        RunDirectory.open(out).checkpoint_of(experiment)


def _run_directory(
    training: Training | PeerTraining | OfflineTraining, out: Path, *, force: bool, resume: bool
) -> RunDirectory:
    """Make the run directory, or open it and go on from its newest checkpoint."""
    experiment = training.experiment
    if resume:
        run = RunDirectory.open(out)
        # a run that ended before its first checkpoint goes on from its begin
        if run.has_checkpoint():
            training.resume(run.checkpoint_of(experiment))
            if training.progress.abandoned:
                run.log(
                    "an engine cannot snapshot: the unfinished episodes end here, new ones begin"
                )
        run.write_experiment(experiment)
    else:
        run = RunDirectory.create(out, experiment, force=force, origin=_origin(training))
    who = f"{experiment.fleet.workers} workers, {experiment.fleet.instances} instances"
    if isinstance(training, OfflineTraining):
        who = f"{training.origin['episodes']} episodes of {training.origin['store']}"
    run.log(
        f"training {experiment.name} from step {training.progress.steps} to {experiment.steps}: "
        f"seed {experiment.seed}, {who}"
    )
    return run


def _origin(training: Training | PeerTraining | OfflineTraining) -> dict[str, Any]:
    """Return what summary and provenance tell of stored episodes, if a run learns from some."""
    return {ORIGIN: training.origin} if isinstance(training, OfflineTraining) else {}


def evaluate_run(
    run: RunDirectory, experiment: Experiment, policy: Any, summary: dict[str, Any]
) -> dict[str, Any]:
    """Evaluate a trained policy and write the result into its run."""
    seed = experiment.seed + EVALUATION_SEED_OFFSET
    evaluation = evaluate(experiment, policy, experiment.evaluation.episodes, seed)
    run.write_json("evaluation.json", evaluation)
    run.write_json("summary.json", {**summary, "evaluation": evaluation})
    run.log(f"evaluated over {evaluation['episodes']} episodes")
    return evaluation


def _summary(
    run: RunDirectory, training: Training | PeerTraining | OfflineTraining, reason: str
) -> dict[str, Any]:
    progress, experiment = training.progress, training.experiment
    instances = 0 if isinstance(training, OfflineTraining) else experiment.fleet.instances
    return {
        "run": run.place,
        "experiment": experiment.name,
        "seed": experiment.seed,
        "workers": experiment.fleet.workers,
        "learners": experiment.fleet.learners,
        "steps": progress.steps,
        "wall_s": progress.wall_s,
        "startup_s": training.startup_s,
        "steps_per_s": progress.steps / progress.wall_s if progress.wall_s else 0.0,
        "updates": progress.updates,
        "episodes": progress.episodes,
        "attempts": progress.attempts(instances),
        "dropped_steps": progress.dropped_steps,
        "dropped": progress.dropped,
        "late_steps": progress.late,
        "faults": progress.faults,
        "abandoned_episodes": progress.abandoned,
        "worker_restarts": sum(worker["restarts"] for worker in training.workers),
        "by_worker": training.workers,
        "stop_reason": reason,
        "learned": progress.learned or None,
        **_origin(training),
        "evaluation": None,
    }
