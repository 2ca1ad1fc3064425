"""Training: sample, learn, record, until a stop condition holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from troupe.core import plugins
from troupe.core.errors import UserError, unknown
from troupe.core.time import NANOSECONDS
from troupe.episodes import Fragment
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import specs
from troupe.fleet.division import check_division, check_learners
from troupe.fleet.evaluation import LearnedTest
from troupe.fleet.journal import Journal, sample_from_arrays, sample_to_arrays
from troupe.fleet.progress import Progress
from troupe.fleet.recording import Recorder
from troupe.fleet.runs import Checkpoint, RunDirectory, experiment_digest
from troupe.fleet.sampler import Sample
from troupe.fleet.status import StatusFile
from troupe.fleet.weighing import Weigher
from troupe.fleet.workers import Workers, make_workers
from troupe.learning.base import AnyLearnerSettings, LearnerSettings, Weights
from troupe.learning.offline.base import OfflineSettings
from troupe.policies import MlpPolicy

Figures = dict[str, float]


class Training:
    """One run of an experiment: its actors, its learner and its record.

    Attributes:
        experiment: that is trained.
        progress: how far it is.
        workers: figures of each worker by name, once training has ended.
        startup_s: how long actors and learner took to start.

    With lag 1 the actors sample the next fragment with the present policy while the learner makes
    the next policy of the last fragment; with lag 0 they take turns. Either way all fragments and
    policies follow from the root seed alone, for any number of workers.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        report: Callable[[Figures], None] = lambda figures: None,
        stop_requested: threading.Event | None = None,
    ) -> None:
        """Build workers and learner; nothing is sampled or written yet.

        Args:
            experiment: with a task and a learner.
            report: called with the figures of each update.
            stop_requested: ends training after the present update.

        Raises:
            UserError: if anything in the experiment is wrong.
        """
        began = time.perf_counter()
        self.settings = learner_settings(experiment)
        self.experiment = experiment
        self.stop_requested = stop_requested or threading.Event()
        self.progress = Progress()
        self.workers: list[dict[str, Any]] = []
        self._report = report
        self._num_steps = fragment_steps(experiment)
        self._ahead: Sample | None = None
        self._journal = Journal()
        self._saved_updates = -1
        self._sampled_before = self._lost_before = 0
        self._learned_test: LearnedTest | None = None
        self._weigher = Weigher(experiment, self.settings)
        self._is_warned = False
        self._workers: Workers = make_workers(experiment)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise
        self.startup_s = time.perf_counter() - began

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same experiment, bitwise as if never stopped.

        Where an engine cannot snapshot, the unfinished episodes end there and new ones begin.
        """
        self.progress = Progress.from_json(checkpoint.counters)
        self._saved_updates = self.progress.updates
        self._learner.restore(checkpoint.groups["learner"])
        self._weigher.restore(checkpoint.groups.get("weighting", {}))
        self._workers.restore(checkpoint.groups["workers"])
        self._workers.backlog.restore(checkpoint.groups.get("backlog", {}))
        self._sampled_before, self._lost_before = self.progress.sampled, self.progress.lost
        if "loop/now_ns" not in checkpoint.groups["workers"]:
            self.progress.abandoned += self.experiment.fleet.instances
        if "ahead" in checkpoint.groups:
            self._ahead = sample_from_arrays(checkpoint.groups["ahead"])

    def train(self, run: RunDirectory) -> str:
        """Sample and learn until a stop condition holds, and return which.

        Args:
            run: where metrics, episodes and, at the latest in the end, checkpoints go.
        """
        sitting = time.perf_counter() - self.progress.wall_s
        checkpoint_every_s = self.experiment.fleet.checkpoint_every / NANOSECONDS["s"]
        checkpoint_due = time.monotonic() + checkpoint_every_s
        policy = self._learner.policy()
        # what arrived after the checkpoint that a dead learner left is learned from again
        self._journal = journal = Journal(run.path / "journal", self.progress.steps)
        if journal.num_steps:
            run.log(f"goes on with {journal.num_steps} steps that arrived after the checkpoint")
        self._workers.follow(journal)
        with (
            StatusFile(run, self._status),
            Recorder(run, self.progress.updates) as recorder,
            ThreadPoolExecutor(1, thread_name_prefix="learner") as learner_thread,
        ):
            while not (reason := self._reason_to_stop()):
                # the steps to learn from: sampled while learning the last ones, or now
                sample = self._ahead or self._sample(policy)
                weight, weight_figures = self._weigh(sample.fragment)
                # learn, and with lag 1 sample the next steps meanwhile
                updating = learner_thread.submit(self._learner.update, sample.fragment, weight)
                self._ahead = self._sample_ahead(policy)
                figures = updating.result()
                policy = self._learner.policy()
                # count, record and report
                self._count_steps()
                lag = policy.version - 1 - sample.fragment.version
                self.progress.late += int((lag > self.experiment.fleet.max_lag).sum())
                self.progress.add(sample, time.perf_counter() - sitting, float(lag.mean()))
                counts = self.progress.row(self.experiment.fleet.instances)
                row = {**counts, **weight_figures, **figures}
                recorder.update(row, sample)
                self._warn(run)
                self._report(row)
                # test and save from time to time
                if self._learned_test and self._learned_test.passes(self.progress, self.policy):
                    self.progress.mark_learned(self.experiment.fleet.instances)
                if time.monotonic() > checkpoint_due or journal.is_long:
                    recorder.flush()  # a run that goes on from here has all that came before
                    self._write_checkpoint(run)
                    checkpoint_due = time.monotonic() + checkpoint_every_s
            for rest in self._workers.settle():
                self.progress.add_ended(rest)
                recorder.ended(rest)
        self._count_steps()
        self.workers = self._workers.report()
        self._write_checkpoint(run)
        return reason

    def policy(self) -> MlpPolicy:
        """Return the newest policy."""
        return self._learner.policy()

    def close(self) -> None:
        """Release everything; may be called again."""
        self._workers.close()
        self._journal.close()
        if self._learned_test is not None:
            self._learned_test.close()

    def _prepare(self) -> None:
        experiment, workers = self.experiment, self._workers
        check_stop(experiment, workers.metric_names)
        self._learner = self.settings.build(
            workers.observation_spec,
            workers.action_spec,
            experiment.seed,
            -(-experiment.steps // self.settings.batch),
            experiment.goals(),
        )
        workers.start(self._learner.policy().noise_size)
        weighted = not self._weigher.is_uniform
        self._learner.prepare(self._num_steps, experiment.fleet.instances, weighted)
        self._learned_test = LearnedTest(experiment, workers.metric_names)

    def _reason_to_stop(self) -> str:
        is_interrupted = self.stop_requested.is_set()
        return self.progress.reason_to_stop(self.experiment, is_interrupted=is_interrupted)

    def _sample_ahead(self, policy: MlpPolicy) -> Sample | None:
        is_last = self.progress.steps + self.settings.batch >= self.experiment.steps
        is_apart = self.experiment.fleet.mode != "synchronous"  # workers go on by themselves
        if self.settings.lag == 0 or is_last or is_apart:
            return None
        return self._sample(policy)

    def _sample(self, policy: MlpPolicy) -> Sample:
        return self._workers.sample(policy, self._num_steps)

    def _weigh(self, fragment: Fragment) -> tuple[Weights | None, Figures]:
        if self._weigher.is_uniform:
            return None, {}
        return self._weigher.weigh(
            fragment,
            self._learner,
            self._learner.version,
            self._workers.owners(fragment.instance),
            min(1.0, self.progress.steps / self.experiment.steps),
        )

    def _warn(self, run: RunDirectory) -> None:
        """Log what became of workers, and what is wrong with the weights, once."""
        for notice in self._workers.notices():
            run.log(notice)
        if self._weigher.alarm and not self._is_warned:
            run.log(self._weigher.alarm)
            self._is_warned = True

    def _count_steps(self) -> None:
        """Bring the counts of steps up to date with the workers."""
        progress, workers = self.progress, self._workers
        progress.sampled = self._sampled_before + workers.arrived + workers.lost
        progress.lost = self._lost_before + workers.lost
        ahead = self._ahead.fragment.num_steps if self._ahead else 0
        progress.waiting = ahead + workers.backlog.num_steps

    def _status(self) -> dict[str, Any]:
        """Return how far the run is, also between two updates; called from another thread."""
        workers = self._workers
        # what the journal holds is here, too, before it is taken from there
        arrived = max(workers.arrived, self._journal.num_steps)
        return {
            "updates": self.progress.updates,
            "steps": self.progress.steps,
            "arrived": self._sampled_before - self._lost_before + arrived,
            "lost": self._lost_before + workers.lost,
            "workers": workers.processes(),
        }

    def _write_checkpoint(self, run: RunDirectory) -> None:
        if self._saved_updates == self.progress.updates:
            return
        groups = {"learner": self._learner.state(), "workers": self._workers.snapshot()}
        if weighting := self._weigher.state():
            groups["weighting"] = weighting
        if self._ahead is not None:
            groups["ahead"] = sample_to_arrays(self._ahead)
        if self._workers.backlog.num_steps:
            groups["backlog"] = self._workers.backlog.arrays()
        run.write_checkpoint(
            self.progress.steps,
            self._learner.policy(),
            groups,
            counters=self.progress.to_json(),
            digest=experiment_digest(self.experiment),
        )
        self._saved_updates = self.progress.updates
        self._journal.begin(self.progress.steps)


def learner_settings(experiment: Experiment) -> LearnerSettings:
    """Return the experiment's learner.

    Raises:
        UserError: if the experiment has none, or no task to learn, or one that does not sample.
    """
    if isinstance(experiment.learner, OfflineSettings):
        raise UserError(
            f"learner.type: '{experiment.learner.type}' learns from stored episodes: give --store; "
            f"without it: {', '.join(learner_types(LearnerSettings))}."
        )
    if experiment.task is None or not isinstance(experiment.learner, LearnerSettings):
        missing = "learner" if experiment.task else "task"
        raise UserError(
            f"experiment '{experiment.name}' has no {missing}, so it cannot be trained."
        )
    return experiment.learner


def learner_types(kind: type[AnyLearnerSettings]) -> list[str]:
    """Return the types of learners whose settings are of a kind, sorted."""
    group = "troupe.learners"
    return [name for name in plugins.names(group) if issubclass(plugins.load(group, name), kind)]


def fragment_steps(experiment: Experiment) -> int:
    """Return how many steps each instance takes for one update.

    Raises:
        UserError: if the learner's batch is not a multiple of the number of instances.
    """
    batch, instances = learner_settings(experiment).batch, experiment.fleet.instances
    if batch % instances:
        raise UserError(
            f"learner.batch ({batch}) must be a multiple of fleet.instances ({instances}), "
            f"e.g. {max(1, batch // instances) * instances}."
        )
    return batch // instances


def check_experiment(experiment: Experiment) -> None:
    """Check that an experiment can be trained, by building one instance and nothing else.

    Raises:
        UserError: if it cannot.
    """
    learner_settings(experiment)
    if experiment.fleet.learners > 1:
        check_learners(experiment)
    else:
        fragment_steps(experiment)
    check_division(experiment.fleet)
    _, _, metric_names = specs(experiment)
    check_stop(experiment, metric_names)
    if experiment.fleet.workers:
        from troupe.fleet.cluster import check_address

        check_address(experiment.fleet.address)


def check_stop(experiment: Experiment, metric_names: Sequence[str]) -> None:
    """Check that there is the metric at which an experiment is to stop.

    Raises:
        UserError: if there is not.
    """
    names = [*Progress().row(0), *metric_names]
    if experiment.stop is not None and experiment.stop.metric not in names:
        raise unknown("metric", experiment.stop.metric, names, where="stop.metric")
