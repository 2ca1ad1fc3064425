"""The description of an experiment."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from troupe.core import World
from troupe.core.goals import Goals
from troupe.core.settings import Duration, Settings, nanoseconds
from troupe.engines.base import EngineSettings
from troupe.loop import EventLoopSettings, FixedStepSettings
from troupe.robots import Robot
from troupe.tasks import Task, TaskSettings
from troupe.tasks.randomisation.settings import Name, PackSettings, Randomisation

WorkerId = Annotated[int, Field(ge=0)]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PolicyUpdate = Literal["immediate", "fragment", "episode"]
FleetMode = Literal["synchronous", "preemptive", "asynchronous"]


class FleetSettings(Settings):
    """Who steps the instances, and who waits for whom.

    Attributes:
        workers: 0 for this process, else how many sample on Ray.
        workers_per_process: that share a process, each on a thread of its own. With simulators
            that are slow because they wait, hundreds of workers fit a few cores that way; all of
            a process are lost and replaced together.
        instances: in total, divided over the workers; default without a task: 1.
        address: of a Ray cluster; default: ``RAY_ADDRESS``, or this machine.
        mode: ``synchronous``: every worker gives the same number of steps to each update, and all
            wait for the slowest; bitwise reproducible. ``preemptive``: all act with the newest
            policy, the fast ones give more, and when there are enough steps for an update the
            others stop where they are and give what they have. ``asynchronous``: workers never
            wait; each pushes fragments at its own pace.
        fragment: steps of each instance that a worker gives at a time, at most; without effect on
            ``synchronous``.
        update: when an instance takes up a newer policy: at its next step, fragment or episode.
            ``asynchronous`` only.
        max_lag: policy versions that 95 % of the steps may be behind when they are learned from;
            workers whose steps come later get shorter fragments. ``asynchronous`` only.
        learners: how many, each with a share of the instances and a model of its own.
        merge: how their models become one; default with several learners: the average after each
            update.
        slow_workers: factor on the engines' declared ``step_time``, by worker: ``{0: 10}`` makes
            worker 0 ten times slower.
        checkpoint_every: time of learning between two checkpoints, from which a run whose learner
            died goes on; see `docs/how-to/survive-failures.md`.
    """

    workers: int = Field(0, ge=0)
    workers_per_process: int = Field(1, ge=1)
    instances: int = Field(64, ge=1)
    address: str | None = None
    mode: FleetMode = "synchronous"
    fragment: int = Field(32, ge=1)
    update: PolicyUpdate = "immediate"
    max_lag: int = Field(4, ge=1)
    learners: int = Field(1, ge=1)
    merge: SerializeAsAny[Settings] | None = None
    slow_workers: dict[WorkerId, Factor] = {}
    checkpoint_every: Duration = nanoseconds(30_000_000_000)

    @model_validator(mode="after")
    def _check_learners(self) -> FleetSettings:
        if self.learners > 1 and self.mode != "synchronous":
            raise ValueError(
                f"learners: {self.learners} learners each step their own share in mode "
                f"'synchronous'; '{self.mode}' is for one"
            )
        if self.learners > 1 and self.workers_per_process > 1:
            raise ValueError(
                f"workers_per_process: {self.workers_per_process} is for one learner; valid with "
                f"{self.learners} learners: 1"
            )
        if self.learners == 1 and self.merge is not None:
            raise ValueError("merge: there is nothing to merge: learners is 1; valid: 2 or more")
        return self

    @field_validator("slow_workers")
    @classmethod
    def _check_slow_workers(
        cls, factors: dict[int, float], info: ValidationInfo
    ) -> dict[int, float]:
        workers = info.data.get("workers", 0)
        for worker in factors:
            if worker >= workers:
                raise ValueError(
                    f"there is no worker {worker}: workers is {workers}, and they count from 0"
                )
        return factors

    @property
    def acting_update(self) -> PolicyUpdate:
        """When instances take up a newer policy; where workers wait for it, at a fragment."""
        return self.update if self.mode == "asynchronous" else "fragment"

    @model_validator(mode="after")
    def _check_mode(self) -> FleetSettings:
        if self.mode != "synchronous" and self.workers == 0:
            raise ValueError(
                f"mode '{self.mode}' needs workers of their own: workers is 0; valid: 1 or more"
            )
        return self


class StopSettings(Settings):
    """Ends training when a figure of the last episodes is good enough.

    Attributes:
        metric: its name, as in the run's metrics, e.g. ``mean_return`` or ``error_m``.
        bound: whether the value is to be at least or at most the limit.
        value: the limit.
    """

    metric: str
    bound: Literal["at-least", "at-most"] = "at-least"
    value: float


class EvaluationSettings(Settings):
    """How a trained policy is measured, and when it counts as having learned.

    Attributes:
        episodes: deterministic episodes at the end of training.
        attempts_every: updates between two tests of whether the task is learned; 0 for never.
        randomise: whether the experiment's randomisation is part of what it is measured in.
    """

    episodes: int = Field(100, ge=1)
    attempts_every: int = Field(1, ge=0)
    randomise: bool = True


class CollectSettings(Settings):
    """What is kept of the episodes that are collected.

    Attributes:
        record: datapacks, ``engine.pack``, of which every step is kept.
        observations: whether what the policy saw before and after each step is kept too, as
            ``observation`` and ``next_observation``, and whether its action counted, as
            ``decides``; policies are learned from them.
        images: datapacks of cameras, ``engine.camera.rgb``, that are kept.
        image_steps: ``ends``: where the first action that counts is chosen, and at the end of the
            episode; ``decisions``: where any action that counts is chosen, too; ``all``: at every
            step too.
    """

    record: tuple[str, ...] = ()
    observations: bool = False
    images: tuple[str, ...] = ()
    image_steps: Literal["ends", "decisions", "all"] = "ends"


class Experiment(Settings):
    """Everything that makes a run, but for where it is written.

    Attributes:
        name: of the experiment.
        description: one line for lists.
        engines: by name.
        loop: that steps them.
        task: what is to be learned in the world.
        randomise: what differs from episode to episode beside what the task draws, by name.
        learner: how it is learned.
        fleet: who steps the instances.
        seed: the root seed, from which all randomness follows.
        steps: of all instances together, after which training ends.
        wall_time: of learning, after which training ends.
        stop: a figure that ends training.
        evaluation: how the policy is measured.
        collect: what is kept of episodes in a store.
    """

    name: str
    description: str = ""
    engines: dict[str, SerializeAsAny[EngineSettings]] = Field(min_length=1)
    loop: FixedStepSettings | EventLoopSettings = FixedStepSettings()
    task: SerializeAsAny[TaskSettings] | None = None
    randomise: dict[Name, Randomisation] = {}
    learner: SerializeAsAny[Settings] | None = None
    fleet: FleetSettings = FleetSettings()
    seed: int = Field(0, ge=0, lt=2**63)
    steps: int = Field(1_000_000, ge=1)
    wall_time: Duration | None = None
    stop: StopSettings | None = None
    evaluation: EvaluationSettings = EvaluationSettings()
    collect: CollectSettings = CollectSettings()

    @model_validator(mode="before")
    @classmethod
    def _run_one_instance(cls, values: Any) -> Any:
        # many instances pay for learning; a run of engines alone is of one, unless it says more
        if isinstance(values, dict) and values.get("task") is None:
            fleet = values.get("fleet", {})
            if isinstance(fleet, dict):
                return {**values, "fleet": {"instances": 1, **fleet}}
        return values

    @field_validator("engines")
    @classmethod
    def _check_names(cls, engines: dict[str, Any]) -> dict[str, Any]:
        for name in engines:
            # packs are called "engine.pack", and recordings of them are folders
            if not re.fullmatch(r"[\w-]+", name):
                raise ValueError(f"'{name}' is no name: take letters, digits, '-' and '_'")
        return engines

    @field_validator("randomise", mode="before")
    @classmethod
    def _leave_out(cls, entries: Any) -> Any:
        # so that who builds on another experiment can drop some of its entries
        if isinstance(entries, dict):
            return {name: entry for name, entry in entries.items() if entry is not None}
        return entries

    @model_validator(mode="after")
    def _check_episode(self) -> Experiment:
        if self.task is not None and self.loop.type != "fixed-step":
            raise ValueError("loop.type: a task needs a fixed-step loop")
        if self.task is not None and self.task.episode < self.loop.step:
            raise ValueError("task.episode must be at least one loop.step")
        return self

    @model_validator(mode="after")
    def _check_randomise(self) -> Experiment:
        if self.randomise and self.task is None:
            raise ValueError("randomise: it is of a task's episodes, and there is no task")
        return self

    @model_validator(mode="after")
    def _check_slow_workers(self) -> Experiment:
        is_declared = any(engine.step_time is not None for engine in self.engines.values())
        if self.fleet.slow_workers and not is_declared:
            raise ValueError("fleet.slow_workers: no engine declares a step_time to multiply")
        return self

    @cached_property
    def robots(self) -> dict[str, Robot]:
        """The robots, by the name of the engine that simulates them."""
        found = {n: getattr(s, "load_robot", lambda: None)() for n, s in self.engines.items()}
        return {name: robot for name, robot in found.items() if robot is not None}

    @property
    def max_episode_steps(self) -> int:
        """Steps until the time limit of an episode."""
        assert self.task is not None
        return self.task.episode // self.loop.step

    def build_task(self, world: World) -> Task:
        """Return a new task on a world.

        Raises:
            UserError: if the experiment has none, or the world lacks what it needs.
        """
        assert self.task is not None
        return self.task.build(self.robots, world, self.loop.step)

    def goals(self) -> Goals | None:
        """Return how steps can be relabelled with other goals; None if not.

        From observations that are late or have noise it does not follow what was achieved.
        """
        is_exact = all(isinstance(entry, PackSettings) for entry in self.randomise.values())
        return self.task.goals(self.robots) if self.task is not None and is_exact else None

    def as_measured(self) -> Experiment:
        """Return the experiment as policies are measured in it, without what only training has."""
        task = self.task.as_measured() if self.task is not None else None
        engines = {name: engine.as_measured() for name, engine in self.engines.items()}
        randomise = self.randomise if self.evaluation.randomise else {}
        return self.model_copy(update={"task": task, "engines": engines, "randomise": randomise})

    def resolved(self) -> dict[str, Any]:
        """Return the whole description, as plain values that can be loaded again."""
        return self.model_dump(mode="json", exclude_none=True)
