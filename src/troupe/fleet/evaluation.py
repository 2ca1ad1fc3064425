"""How good a policy is: deterministic episodes, repeated poses, and whether a task is learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import Streams
from troupe.core.arrays import Array
from troupe.episodes.accuracy import (
    accuracy,
    paper_accuracy_mm,
    pose_accuracy_mm,
    pose_repeatability_mm,
    repeatability_mm,
)
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.progress import Progress
from troupe.policies import Policy

LEARNED_EPISODES = 10
LEARNED_SEED_OFFSET = 1_000_003
"""Added to the root seed for the episodes that tell whether a task is learned."""

PROMISING = 0.3
"""Share of recent training episodes that succeed, from which on it is worth testing whether the
task is learned; exploration makes training episodes fail more often than test episodes."""

ISO_POSES = 5
ISO_CYCLES = 30
PAPER_RUNS = 10
NOISE = {"joint_rad": 0.0005, "tool_m": 0.0005}
"""Standard deviations of what the policy observes where repetitions must differ: joint angles,
and the tool's position. A deterministic simulation would repeat itself exactly."""


class Evaluator:
    """Runs episodes of an experiment, each instance one, and keeps the simulation for the next.

    Attributes:
        simulation: of all episodes at once.
    """

    def __init__(self, experiment: Experiment, num_episodes: int, num_threads: int = 0) -> None:
        """Build a simulation of as many instances as there are episodes."""
        self.simulation = Simulation(
            experiment.as_measured(), num_episodes, num_threads=num_threads
        )

    def run(
        self,
        policy: Policy,
        seed: int,
        *,
        prepare: Callable[[Simulation], None] | None = None,
        observation_noise: Array | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """Run each instance's first episode to its end, deterministically.

        Args:
            policy: that acts, always with its most likely action.
            seed: the root seed of the episodes.
            prepare: changes the simulation after its reset.
            observation_noise: standard deviations of Gaussian noise on the observations, (D,).

        Returns:
            ``return`` and ``length``, the task's metrics at the end, and the arrays that the
            task calls its final pose, each with one row an episode.
        """
        simulation = self.simulation
        rng = Streams(seed).generator("observation-noise")
        simulation.reset(seed=seed)
        if prepare is not None:
            prepare(simulation)
            # what is late begins with what was prepared
            simulation.randomiser.begun(np.arange(simulation.num_instances))
        running = np.ones(simulation.num_instances, np.bool_)
        total = np.zeros(simulation.num_instances)
        length = np.zeros(simulation.num_instances, np.int64)
        final: dict[str, npt.NDArray[Any]] = {}
        observation = simulation.observe()
        while running.any():
            if observation_noise is not None:
                noise = rng.standard_normal(observation.shape) * observation_noise
                observation = observation + noise.astype(observation.dtype)
            step = simulation.step(policy.act(observation).action)
            observation = step.observation
            total += step.reward * running
            length += running
            ended = running & (step.terminated | step.truncated)
            if ended.any():
                for name, values in self._outcome().items():
                    final.setdefault(name, values.copy())[ended] = values[ended]
                running &= ~ended
                idle = np.flatnonzero(ended)
                if running.any():
                    # engines may not step past an end; what these instances do counts no more
                    simulation.reset(idle)
                    observation = simulation.observe()
        return {"return": total, "length": length, **final}

    def close(self) -> None:
        """Close the simulation."""
        self.simulation.close()

    def _outcome(self) -> dict[str, npt.NDArray[Any]]:
        positions = getattr(self.simulation.task, "tool_position", None)
        final = {} if positions is None else {"position": positions(self.simulation.world)}
        return {**self.simulation.metrics(), **final}


def is_learned(evaluator: Evaluator, policy: Policy, seed: int) -> bool:
    """Return whether all of the evaluator's deterministic episodes succeed."""
    return bool(evaluator.run(policy, seed)["success"].all())


class LearnedTest:
    """Tests now and then, while a policy is trained, whether its task is learned."""

    def __init__(self, experiment: Experiment, metric_names: Sequence[str]) -> None:
        """Build the episodes, if the experiment wants the test and its task tells success."""
        self._every = experiment.evaluation.attempts_every
        self._seed = experiment.seed + LEARNED_SEED_OFFSET
        self._evaluator: Evaluator | None = None
        if self._every and "success" in metric_names:
            self._evaluator = Evaluator(experiment, LEARNED_EPISODES, num_threads=1)

    def passes(self, progress: Progress, policy: Callable[[], Policy]) -> bool:
        """Return whether a task that did not count as learned does now.

        Args:
            progress: of the run; nothing is tested before recent episodes look promising.
            policy: returns the newest one; called only for a test.
        """
        if self._evaluator is None or progress.learned or progress.updates % self._every:
            return False
        if not progress.mean("success", LEARNED_EPISODES) >= PROMISING:
            return False
        return is_learned(self._evaluator, policy(), self._seed)

    def close(self) -> None:
        """Release the episodes; may be called again."""
        if self._evaluator is not None:
            self._evaluator.close()


def evaluate(experiment: Experiment, policy: Policy, episodes: int, seed: int) -> dict[str, Any]:
    """Return how good a policy is, as plain values.

    Args:
        experiment: whose task is meant.
        policy: to measure.
        episodes: deterministic ones with random targets.
        seed: of the episodes; other than the training's, so that targets are new.

    Returns:
        ``episodes``, ``seed`` and ``mean_return``; for tasks with an error also ``accuracy_mm``,
        ``success_rate``, ``repeatability_mm``, ``paper`` and ``iso9283``
        (docs/derivations.md, "Accuracy and repeatability").
    """
    evaluator = Evaluator(experiment, episodes)
    outcome = evaluator.run(policy, seed)
    evaluator.close()
    result: dict[str, Any] = {
        "episodes": episodes,
        "seed": seed,
        "policy_version": policy.version,
        "mean_return": float(outcome["return"].mean()),
    }
    if "success" in outcome:
        result["success_rate"] = float(outcome["success"].mean())
    if "error_m" in outcome:
        result["accuracy_mm"] = accuracy(outcome["error_m"])
        result |= repeated_poses(experiment, policy, seed)
    return result


def repeated_poses(experiment: Experiment, policy: Policy, seed: int) -> dict[str, Any]:
    """Return the paper's accuracy and repeatability and those of ISO 9283, under noise.

    Each of 5 poses is approached 30 times from the home pose; the paper's figures are over the
    first 10 approaches of each.
    """
    evaluator = Evaluator(experiment, ISO_POSES * ISO_CYCLES)
    world = evaluator.simulation.world
    names = ("target_position", "target_rotation")
    commanded = np.empty((ISO_POSES, ISO_CYCLES, 3))

    def repeat_targets(simulation: Simulation) -> None:
        for name in names:
            targets = world.arrays[name]
            targets[...] = np.repeat(targets[:ISO_POSES], ISO_CYCLES, axis=0)
        commanded[...] = world.arrays["target_position"].reshape(commanded.shape)

    noise = evaluator.simulation.task.observation_noise(**NOISE)  # type: ignore[attr-defined]
    outcome = evaluator.run(policy, seed, prepare=repeat_targets, observation_noise=noise)
    evaluator.close()
    attained = outcome["position"].reshape(commanded.shape)
    targets = commanded[:, 0]
    runs = attained[:, :PAPER_RUNS]
    repeatability = _mean(repeatability_mm(r) for r in runs)
    paper_accuracy = _mean(paper_accuracy_mm(r, t) for r, t in zip(runs, targets, strict=True))
    return {
        "repeatability_mm": repeatability,
        "paper": {"accuracy_mm": paper_accuracy, "repeatability_mm": repeatability},
        "iso9283": {
            "ap_mm": _mean(pose_accuracy_mm(a, t) for a, t in zip(attained, targets, strict=True)),
            "rp_mm": _mean(pose_repeatability_mm(a) for a in attained),
            "poses": ISO_POSES,
            "cycles": ISO_CYCLES,
            "noise": NOISE,
        },
    }


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
