"""A run of an experiment with several learners."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from troupe.core.time import NANOSECONDS
from troupe.experiments.schema import Experiment
from troupe.fleet.division import check_learners, merge_settings
from troupe.fleet.evaluation import LearnedTest
from troupe.fleet.peers.exchange import Outcome
from troupe.fleet.peers.local import SERVER
from troupe.fleet.peers.open import open_exchange
from troupe.fleet.peers.process import Report
from troupe.fleet.peers.simulated import MakeSimulated, join_counted
from troupe.fleet.progress import Progress
from troupe.fleet.recording import Recorder
from troupe.fleet.runs import Checkpoint, RunDirectory, experiment_digest
from troupe.fleet.sampler import Sample
from troupe.fleet.status import StatusFile
from troupe.fleet.training import Figures, check_stop, learner_settings
from troupe.learning.merging import MergeSettings
from troupe.policies import MlpPolicy

LEARNER = "learner."
"""Begins the names of the groups in a checkpoint that hold the learners' states."""


class PeerTraining:
    """One run of an experiment whose instances are divided over learners of their own.

    With a merge in rounds, all-reduce or a synchronous server, everything follows from the root
    seed and the number of learners, and a resumed run is bitwise the same; in the asynchronous ways
    a resumed run goes on from where each learner was.

    Attributes:
        experiment: that is trained.
        progress: how far it is.
        workers: figures of each learner by name, once training has ended.
        startup_s: how long the learners took to start.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        report: Callable[[Figures], None] = lambda figures: None,
        stop_requested: threading.Event | None = None,
    ) -> None:
        """Let the learners start; nothing is sampled or written yet.

        Args:
            experiment: with a task and a learner.
            report: called with the figures of each exchange.
            stop_requested: ends training after the present exchange.

        Raises:
            UserError: if anything in the experiment is wrong.
        """
        from troupe.fleet.cluster import connect
        from troupe.fleet.nodes import check_versions, share_of_cores

        began = time.perf_counter()
        self.settings = learner_settings(experiment)
        learners, merge = experiment.fleet.learners, merge_settings(experiment.fleet)
        check_learners(experiment)
        self.experiment = experiment
        self.stop_requested = stop_requested or threading.Event()
        self.progress = Progress()
        self.workers: list[dict[str, Any]] = []
        self._report = report
        self._every = merge.every
        self._saved_updates = -1
        self._said: set[str] = set()
        self._learned_test: LearnedTest | None = None
        self._counts = [{"steps": 0, "updates": 0, "ignored": 0} for _ in range(learners)]
        self._started_ray = connect(experiment.fleet.address)
        if not self._started_ray:
            check_versions()
        processes = learners + experiment.fleet.workers
        make = _make(experiment, learners, merge, share_of_cores(processes))
        try:
            # samples nothing: to check, to begin with, and to make policies of models
            self._common = make(SERVER)
            self._common.check(make.stepwise)
            check_stop(experiment, self._common.metric_names)
            self._exchange = open_exchange(
                merge, make, self._common, learners, experiment.seed, processes
            )
            self._learned_test = LearnedTest(experiment, self._common.metric_names)
            self._exchange.pool.admit(everybody=True)
        except BaseException:
            self.close()
            raise
        self.startup_s = time.perf_counter() - began

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same experiment, with as many learners."""
        groups = checkpoint.groups
        self.progress = Progress.from_json(checkpoint.counters)
        self._saved_updates = self.progress.updates
        states = {
            int(name.removeprefix(LEARNER)): state
            for name, state in groups.items()
            if name.startswith(LEARNER)
        }
        self._exchange.pool.restore(states)
        self._exchange.restore(groups)
        if not any(name.endswith("loop/now_ns") for s in states.values() for name in s):
            self.progress.abandoned += self.experiment.fleet.instances

    def train(self, run: RunDirectory) -> str:
        """Learn and exchange until a stop condition holds, and return which.

        Args:
            run: where metrics, episodes and, at the latest in the end, checkpoints go.
        """
        sitting = time.perf_counter() - self.progress.wall_s
        checkpoint_every_s = self.experiment.fleet.checkpoint_every / NANOSECONDS["s"]
        checkpoint_due = time.monotonic() + checkpoint_every_s
        lost_before = self.progress.lost
        with Recorder(run, self.progress.updates) as recorder, StatusFile(run, self._status):
            while not (reason := self._reason_to_stop()):
                # learn and exchange
                outcome = self._exchange.step()
                # count, record and report
                sample = _joined(outcome.reports)
                lag = float(np.mean([report.lag for report in outcome.reports.values()]))
                self.progress.add(sample, time.perf_counter() - sitting, lag)
                lost = self._exchange.pool.restarts * self._every * self.settings.batch
                self.progress.lost = lost_before + lost
                self.progress.sampled = self.progress.steps + self.progress.lost
                self._count(outcome)
                row = self._row(outcome)
                recorder.update(row, sample)
                self._log(run, outcome)
                self._report(row)
                # test and save from time to time
                if self._learned_test and self._learned_test.passes(self.progress, self.policy):
                    self.progress.mark_learned(self.experiment.fleet.instances)
                if time.monotonic() > checkpoint_due:
                    recorder.flush()
                    self._write_checkpoint(run)
                    checkpoint_due = time.monotonic() + checkpoint_every_s
        restarts = self._exchange.pool.restarts_of
        self.workers = [
            {"worker": number, "restarts": restarts.get(number, 0), **counts}
            for number, counts in enumerate(self._counts)
        ]
        self._write_checkpoint(run)
        return reason

    def _status(self) -> dict[str, Any]:
        """Return how far the run is; called from another thread."""
        return {
            "updates": self.progress.updates,
            "steps": self.progress.steps,
            "arrived": self.progress.steps,
            "lost": self.progress.lost,
            "workers": [],
            "learners": self._exchange.pool.processes(),
        }

    def policy(self) -> MlpPolicy:
        """Return the policy of the common model."""
        self._common.adopt(self._exchange.parameters)
        return replace(self._common.policy(), version=self.progress.updates)

    def close(self) -> None:
        """Release everything; may be called again."""
        exchange = getattr(self, "_exchange", None)
        if exchange is not None:
            exchange.close()
            exchange.pool.close()
        if self._learned_test is not None:
            self._learned_test.close()
        if self._started_ray:
            from troupe.fleet.cluster import disconnect

            disconnect()
            self._started_ray = False

    def _reason_to_stop(self) -> str:
        is_interrupted = self.stop_requested.is_set()
        return self.progress.reason_to_stop(self.experiment, is_interrupted=is_interrupted)

    def _count(self, outcome: Outcome) -> None:
        for number, report in outcome.reports.items():
            self._counts[number]["steps"] += report.steps
            self._counts[number]["updates"] += len(report.improvements)
        for number in outcome.ignored:
            self._counts[number]["ignored"] += 1

    def _row(self, outcome: Outcome) -> dict[str, float]:
        figures = [i.figures for r in outcome.reports.values() for i in r.improvements]
        means = {name: float(np.mean([f[name] for f in figures])) for name in figures[0]}
        return {
            **self.progress.row(self.experiment.fleet.instances),
            **means,
            "divergence": outcome.divergence,
            "learners": len(self._exchange.pool.actors),
            "ignored_models": len(outcome.ignored),
            "outlying_models": len(outcome.outlying),
            "merge_skipped": float(bool(outcome.skipped)),
            "learner_restarts": self._exchange.pool.restarts,
        }

    def _log(self, run: RunDirectory, outcome: Outcome) -> None:
        """Log what is wrong with models, each learner's and each fault once."""
        said = [f"ignored what learner {n} sent: {why}" for n, why in outcome.ignored.items()]
        said += [f"the model of learner {number} stands out" for number in outcome.outlying]
        if outcome.skipped:
            said.append(f"kept the common model: {outcome.skipped}")
        for line in said:
            if line not in self._said:
                run.log(line)
                self._said.add(line)

    def _write_checkpoint(self, run: RunDirectory) -> None:
        if self._saved_updates == self.progress.updates:
            return
        states = self._exchange.pool.states
        groups: dict[str, Mapping[str, Any]] = {
            **{name: arrays for name, arrays in self._exchange.state().items() if arrays},
            **{f"{LEARNER}{number}": state for number, state in states.items()},
        }
        run.write_checkpoint(
            self.progress.steps,
            self.policy(),
            groups,
            counters=self.progress.to_json(),
            digest=experiment_digest(self.experiment),
        )
        self._saved_updates = self.progress.updates


def _make(
    experiment: Experiment, learners: int, merge: MergeSettings, share: float
) -> MakeSimulated:
    num_updates = -(-experiment.steps // (learner_settings(experiment).batch * learners))
    is_shared = getattr(merge, "synchronous", True)
    return MakeSimulated(
        description=experiment.resolved(),
        num_learners=learners,
        num_updates=num_updates,
        num_server_updates=num_updates if is_shared else num_updates * learners,
        stepwise=merge.exchange in ("gradients", "server"),
        share=share,
    )


def _joined(reports: Mapping[int, Report]) -> Sample:
    samples = [i.sample for report in reports.values() for i in report.improvements]
    return join_counted([sample for sample in samples if sample is not None])
