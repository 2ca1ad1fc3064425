"""A local model of an experiment: a learner with simulations of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError
from troupe.episodes import Fragment
from troupe.experiments.load import Description, build_experiment
from troupe.experiments.simulation import specs
from troupe.fleet.actor import Actor
from troupe.fleet.division import divide
from troupe.fleet.peers.local import OWN, SERVER, Arrays, Improvement
from troupe.fleet.peers.own_actors import OwnActors
from troupe.fleet.sampler import Sample
from troupe.fleet.weighing import Weigher
from troupe.learning.base import LearnerSettings
from troupe.policies import MlpPolicy

LEARNER = "learner/"
SIMULATIONS = f"{OWN}simulations/"
WEIGHTING = f"{OWN}weighting/"

STEPWISE = ("begin", "agree", "gradients", "apply", "finish")
"""What a learner has to offer if others are to take part in its updates."""


@dataclass(frozen=True)
class MakeSimulated:
    """Makes the local models of an experiment.

    Attributes:
        description: the resolved experiment, as plain values.
        num_learners: over whom its instances are divided.
        num_updates: of each learner in the run, for schedules.
        num_server_updates: of a parameter server.
        stepwise: whether updates are made together with others.
        share: of a core, for each actor.
    """

    description: Description
    num_learners: int
    num_updates: int
    num_server_updates: int
    stepwise: bool
    share: float = 1.0

    def __call__(self, number: int) -> SimulatedLearner:
        """Return the local model of a learner."""
        return SimulatedLearner(self, number)


class SimulatedLearner:
    """A learner, the range of an experiment's instances that is its own, and what steps them."""

    def __init__(self, make: MakeSimulated, number: int) -> None:
        """Build the learner, and unless it is a server's, its simulations."""
        experiment = build_experiment(make.description)
        settings = experiment.learner
        assert isinstance(settings, LearnerSettings)
        observation_spec, action_spec, self.metric_names = specs(experiment)
        self._learner: Any = settings.build(
            observation_spec,
            action_spec,
            experiment.seed,
            make.num_server_updates if number == SERVER else make.num_updates,
            experiment.goals(),
        )
        self._is_server = number == SERVER
        self._sample: Sample | None = None
        self._num_steps = settings.batch // (experiment.fleet.instances // make.num_learners)
        if self._is_server:
            return
        self._number = number
        first, last = divide(experiment.fleet.instances, make.num_learners)[number]
        self._num_instances = last - first
        self._actor = _actors(make, first, last, experiment.fleet.workers // make.num_learners)
        self._snapshot = self._actor.start(self._learner.policy().noise_size)
        self._weigher = Weigher(experiment, settings)
        self._progress = 1 / make.num_updates
        if make.stepwise:
            self._warm_up()
        else:
            is_weighted = not self._weigher.is_uniform
            self._learner.prepare(self._num_steps, self._num_instances, is_weighted)

    def policy(self) -> MlpPolicy:
        """Return the newest policy."""
        policy: MlpPolicy = self._learner.policy()
        return policy

    def check(self, stepwise: bool) -> None:
        """Check that the learner can take part in what is exchanged.

        Raises:
            UserError: if it cannot.
        """
        missing = [method for method in STEPWISE if not hasattr(self._learner, method)]
        if stepwise and missing:
            raise UserError(
                "fleet.merge: this learner makes whole updates only, and gives no gradients; "
                "valid: the merges of models, e.g. average."
            )

    def improve(self) -> Improvement:
        """Sample and make one update."""
        fragment, weight, figures = self._experience()
        return self._improvement(figures | self._learner.update(fragment, weight))

    def begin(self) -> dict[str, npt.NDArray[Any]]:
        """Sample, begin an update, and return the statistics to agree on."""
        fragment, weight, self._figures = self._experience()
        statistics: dict[str, npt.NDArray[Any]] = self._learner.begin(fragment, weight)
        return statistics

    def agree(self, statistics: Arrays) -> int:
        """Take up the mean of all statistics and return the number of minibatches."""
        count: int = self._learner.agree(statistics)
        if self._is_server:
            self._learner.version += 1
        return count

    def gradients(self, minibatch: int) -> dict[str, npt.NDArray[Any]]:
        """Return those of a minibatch of the update at the present weights."""
        gradients: dict[str, npt.NDArray[Any]] = self._learner.gradients(minibatch)
        return gradients

    def apply(self, gradients: Arrays) -> None:
        """Take one step along gradients."""
        self._learner.apply(gradients)

    def finish(self) -> Improvement:
        """End the update."""
        return self._improvement(self._figures | self._learner.finish())

    def aligned(self, models: Sequence[Arrays]) -> list[dict[str, npt.NDArray[Any]]]:
        """Return models such that a mean of their weights means something."""
        if not hasattr(self._learner, "aligned"):
            return [dict(model) for model in models]
        found: list[dict[str, npt.NDArray[Any]]] = self._learner.aligned(models)
        return found

    def parameters(self) -> dict[str, npt.NDArray[Any]]:
        """Return weights, and the moments that they are relative to."""
        parameters: dict[str, npt.NDArray[Any]] = self._learner.parameters()
        return parameters

    def adopt(self, parameters: Arrays) -> None:
        """Replace the parameters; the optimiser's state stays."""
        self._learner.adopt(parameters)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that `restore` needs to go on bitwise the same, between updates."""
        found = _named(LEARNER, self._learner.state())
        if self._is_server:
            return found
        weighting = _named(WEIGHTING, self._weigher.state())
        return {**found, **_named(SIMULATIONS, self._snapshot), **weighting}

    def restore(self, state: Arrays) -> None:
        """Go on from a state; without simulations in it, they go on as they are."""
        self._learner.restore(_part(LEARNER, state))
        if self._is_server:
            return
        if simulations := _part(SIMULATIONS, state):
            noise_size = self._learner.policy().noise_size
            self._snapshot = self._actor.start(noise_size, simulations)
            self._weigher.restore(_part(WEIGHTING, state))

    def close(self) -> None:
        """Nothing outlives the process."""

    def _warm_up(self) -> None:
        """Compile what updates with others need, by one whose traces are removed."""
        before = {name: np.array(values) for name, values in self.state().items()}
        self.agree(self.begin())
        self.apply(self.gradients(0))
        self.finish()
        self.restore(before)

    def _experience(self) -> tuple[Fragment, npt.NDArray[np.float32] | None, dict[str, float]]:
        policy = self._learner.policy()
        sample, self._snapshot = self._actor.sample(policy, self._num_steps)
        assert sample is not None  # nothing cuts it
        self._sample = sample
        fragment = sample.fragment
        owners = np.full(fragment.reward.shape, self._number, np.int64)
        share = min(1.0, policy.version * self._progress)
        weight, figures = self._weigher.weigh(
            fragment, self._learner, policy.version, owners, share
        )
        return fragment, weight, figures

    def _improvement(self, figures: Mapping[str, float]) -> Improvement:
        assert self._sample is not None
        sample, self._sample = self._sample, None
        return Improvement(sample.fragment.num_steps, figures, without_steps(sample))


def _actors(make: MakeSimulated, first: int, last: int, workers: int) -> Actor | OwnActors:
    """Return what steps a range of instances: this process, or actors of its own."""
    if workers == 0:
        return Actor(make.description, first, last - first)
    ranges = [(first + begin, first + end) for begin, end in divide(last - first, workers)]
    return OwnActors(make.description, ranges, make.share)


def without_steps(sample: Sample) -> Sample:
    """Return a sample with of its fragment the rewards only: what is needed to count it."""
    arrays = {f.name: getattr(sample.fragment, f.name)[:0] for f in fields(Fragment)}
    arrays["reward"] = sample.fragment.reward.reshape(-1)
    return replace(sample, fragment=Fragment(**arrays))


def join_counted(samples: Sequence[Sample]) -> Sample:
    """Return samples without steps as one."""
    tables = [sample.episodes for sample in samples]
    reward = np.concatenate([sample.fragment.reward for sample in samples])
    return Sample(
        fragment=replace(samples[0].fragment, reward=reward),
        episodes={name: np.concatenate([t[name] for t in tables]) for name in tables[0]},
        faults=[fault for sample in samples for fault in sample.faults],
    )


def _named(prefix: str, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    return {f"{prefix}{name}": values for name, values in arrays.items()}


def _part(prefix: str, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    # what arrives in shared memory must not be changed, and simulations do change it
    return {k.removeprefix(prefix): np.array(v) for k, v in arrays.items() if k.startswith(prefix)}
