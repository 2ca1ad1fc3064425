"""Training on the episodes of a store: learn, look how good the policy is, record."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from troupe.core.arrays import ArraySpec
from troupe.core.errors import UserError
from troupe.core.time import NANOSECONDS
from troupe.episodes.store import Store, open_store
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import specs
from troupe.fleet.evaluation import LEARNED_EPISODES, LEARNED_SEED_OFFSET, Evaluator
from troupe.fleet.progress import Progress
from troupe.fleet.recording import Recorder
from troupe.fleet.runs import Checkpoint, RunDirectory, experiment_digest, run_steps
from troupe.fleet.status import StatusFile
from troupe.fleet.training import Figures, check_stop, learner_types
from troupe.learning.offline.base import OfflineSettings
from troupe.learning.offline.stored import StoredEpisodes, check_store, read, select
from troupe.learning.weighting import check_sample_size
from troupe.policies import MlpPolicy

CHUNK = 200
"""Gradient steps of one update: between two of them a run can be stopped."""

LOOKED_AT = ("mean_return", "mean_length", "learned")
"""Figures of a run that the test episodes tell, as all of the task's metrics."""

ORIGIN = "learned_from"
"""What the provenance calls what a run learned from; also the table of the episodes' ids."""


@dataclass(frozen=True)
class Source:
    """Where the episodes are that a run learns from.

    Attributes:
        store: URL of the store.
        where: a condition in SQL that the episodes fulfil; None for all of them.
        ids: of the episodes, once it has been decided; None: those of the condition.
        digest: of their content, if they have been learned from before.
    """

    store: str
    where: str | None = None
    ids: Sequence[str] | None = None
    digest: str | None = None


class OfflineTraining:
    """One run of an experiment whose learner learns from stored episodes.

    Attributes:
        experiment: that is trained; its ``steps`` are gradient steps.
        progress: how far it is.
        workers: nobody.
        startup_s: how long reading and compiling took.
        origin: what the provenance tells of the episodes.

    All policies follow from the root seed and the content of the episodes alone.
    """

    def __init__(
        self,
        experiment: Experiment,
        source: Source,
        *,
        report: Callable[[Figures], None] = lambda figures: None,
        stop_requested: threading.Event | None = None,
    ) -> None:
        """Read the episodes and build the learner; nothing is learned or written yet.

        Args:
            experiment: with a task and a learner of stored episodes.
            source: of the episodes.
            report: called with the figures of each update.
            stop_requested: ends training after the present update.

        Raises:
            UserError: if anything in the experiment or the store is wrong.
        """
        began = time.perf_counter()
        self.settings = settings = offline_settings(experiment)
        self.experiment = experiment.model_copy(update={"steps": run_steps(experiment)})
        self.stop_requested = stop_requested or threading.Event()
        self.progress = Progress()
        self.workers: list[dict[str, Any]] = []
        self._report = report
        self._saved_updates = -1
        self._is_warned = False
        store, ids, action, self._metrics = _checked(self.experiment, source)
        stored = read(store, ids, action)
        self._ids = list(ids)
        self._learner = settings.build(stored, action, experiment.seed)
        self.origin = _origin(store, source, stored, self._learner.num_transitions)
        self._learner.prepare(min(CHUNK, self.experiment.steps))
        self._evaluator: Evaluator | None = None
        if settings.evaluate_every:
            self._evaluator = Evaluator(experiment, LEARNED_EPISODES)
        self.startup_s = time.perf_counter() - began

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same experiment, bitwise as if never stopped."""
        self.progress = Progress.from_json(checkpoint.counters)
        self._saved_updates = self.progress.updates
        self._learner.restore(checkpoint.groups["learner"])

    def train(self, run: RunDirectory) -> str:
        """Learn until a stop condition holds, and return which.

        Args:
            run: where metrics and, at the latest in the end, checkpoints go.
        """
        progress, total = self.progress, self.experiment.steps
        checkpoint_every_s = self.experiment.fleet.checkpoint_every / NANOSECONDS["s"]
        checkpoint_due = time.monotonic() + checkpoint_every_s
        run.write_table(f"{ORIGIN}.parquet", {"id": np.array(self._ids)})
        with StatusFile(run, self._status), Recorder(run, progress.updates) as recorder:
            while not (reason := self._reason_to_stop()):
                # learn
                began = time.perf_counter()
                num_steps = min(CHUNK, total - progress.steps)
                figures = self._learner.update(num_steps, progress.steps / total)
                progress.wall_s += time.perf_counter() - began
                progress.updates += 1
                progress.steps += num_steps
                # look how good the policy is, from time to time
                if self._is_look_due(num_steps):
                    self._look()
                # record, report and save
                row = {**progress.row(0), **figures}
                recorder.update(row)
                self._warn(run, figures)
                self._report(row)
                if time.monotonic() > checkpoint_due:
                    recorder.flush()
                    self._write_checkpoint(run)
                    checkpoint_due = time.monotonic() + checkpoint_every_s
        self._write_checkpoint(run)
        return reason

    def policy(self) -> MlpPolicy:
        """Return the newest policy."""
        return self._learner.policy()

    def close(self) -> None:
        """Release everything; may be called again."""
        if self._evaluator is not None:
            self._evaluator.close()

    def _reason_to_stop(self) -> str:
        is_interrupted = self.stop_requested.is_set()
        return self.progress.reason_to_stop(self.experiment, is_interrupted=is_interrupted)

    def _is_look_due(self, num_steps: int) -> bool:
        every, steps = self.settings.evaluate_every, self.progress.steps
        return bool(every) and steps // every > (steps - num_steps) // every

    def _look(self) -> None:
        """Run some deterministic episodes; their means are the figures until the next look."""
        assert self._evaluator is not None
        seed = self.experiment.seed + LEARNED_SEED_OFFSET
        outcome = self._evaluator.run(self.policy(), seed)
        names = ("return", "length", *self._metrics)
        self.progress.recent = {name: outcome[name].astype(float).tolist() for name in names}
        if "success" in outcome and outcome["success"].all() and not self.progress.learned:
            self.progress.mark_learned(0)

    def _warn(self, run: RunDirectory, figures: Figures) -> None:
        """Log once if hardly anything counts."""
        alarm = check_sample_size(figures.get("weight_sample_size", 1.0))
        if alarm and not self._is_warned:
            run.log(alarm)
            self._is_warned = True

    def _status(self) -> dict[str, Any]:
        """Return how far the run is; called from another thread."""
        progress = self.progress
        counts = {"updates": progress.updates, "steps": progress.steps, "arrived": progress.steps}
        return {**counts, "lost": 0, "workers": []}

    def _write_checkpoint(self, run: RunDirectory) -> None:
        if self._saved_updates == self.progress.updates:
            return
        run.write_checkpoint(
            self.progress.steps,
            self.policy(),
            {"learner": self._learner.state()},
            counters=self.progress.to_json(),
            digest=experiment_digest(self.experiment),
        )
        self._saved_updates = self.progress.updates


def offline_settings(experiment: Experiment) -> OfflineSettings:
    """Return the experiment's learner, which learns from a store.

    Raises:
        UserError: if the experiment has no task, or no such learner.
    """
    if experiment.task is None:
        raise UserError(f"experiment '{experiment.name}' has no task, so it cannot be trained.")
    if not isinstance(experiment.learner, OfflineSettings):
        given = getattr(experiment.learner, "type", None)
        valid = ", ".join(learner_types(OfflineSettings))
        raise UserError(f"learner.type: '{given}' samples itself; valid with --store: {valid}.")
    fleet = experiment.fleet
    for name, value, valid_value in (
        ("workers", fleet.workers, 0),
        ("learners", fleet.learners, 1),
    ):
        if value != valid_value:
            raise UserError(
                f"fleet.{name}: nothing is sampled with --store, so {value} have nothing to do; "
                f"valid: {valid_value}."
            )
    return experiment.learner


def check_offline(experiment: Experiment, source: Source) -> None:
    """Check that an experiment can be learned from a store, without reading its steps.

    Raises:
        UserError: if it cannot.
    """
    _checked(experiment, source)


def source_of(run: RunDirectory) -> Source | None:
    """Return what a run has learned from, the very same episodes; None if it samples itself.

    Raises:
        UserError: if the run ended before it had written which ones.
    """
    origin = run.read_json("provenance.json").get(ORIGIN)
    if origin is None:
        return None
    ids = run.read_table(f"{ORIGIN}.parquet").get("id")
    if ids is None:
        raise UserError(f"run '{run.place}' ended before it began: there is nothing to resume.")
    return Source(origin["store"], origin["where"], ids.tolist(), origin["digest"])


def _checked(
    experiment: Experiment, source: Source
) -> tuple[Store, Sequence[str], ArraySpec, Sequence[str]]:
    """Return the store, the episodes, the spec of actions and the names of the task's metrics."""
    settings = offline_settings(experiment)
    observation, action, metric_names = specs(experiment)
    check_stop(experiment, metric_names)
    metric = experiment.stop.metric if experiment.stop is not None else None
    if metric in (*LOOKED_AT, *metric_names) and settings.evaluate_every == 0:
        raise UserError(
            f"learner.evaluate_every: with 0 there is no '{metric}' to stop at (stop.metric); "
            "valid: 1 or more, or no stop."
        )
    store = open_store(source.store)
    check_store(store, observation, action, experiment.name)
    ids = select(store, source.where) if source.ids is None else source.ids
    return store, ids, action, metric_names


def _origin(
    store: Store, source: Source, stored: StoredEpisodes, num_transitions: int
) -> dict[str, Any]:
    """Return what the provenance tells of the episodes.

    Raises:
        UserError: if they are not those that were learned from before.
    """
    digest = stored.digest()
    if source.digest not in (None, digest):
        raise UserError(
            f"store '{store.url}': the episodes that the run has learned from are not what they "
            "were, so it cannot go on as if never stopped."
        )
    return {
        "store": store.url,
        "where": source.where,
        "episodes": len(stored.ids),
        "steps": stored.num_steps,
        "transitions": num_transitions,
        "mean_return": float(stored.returns().mean()),
        "digest": digest,
    }
