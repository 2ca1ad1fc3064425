"""All randomisations of an experiment, between its task and its world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import ArraySpec, Ids
from troupe.core.errors import UserError, unknown
from troupe.core.seeding import InstanceStreams
from troupe.tasks.base import Task
from troupe.tasks.randomisation.delays import DelayLine, SlowCommand
from troupe.tasks.randomisation.drawn_packs import DrawnPack
from troupe.tasks.randomisation.draws import Draw
from troupe.tasks.randomisation.noise import SensorNoise
from troupe.tasks.randomisation.sensing import Sensor
from troupe.tasks.randomisation.settings import (
    ACTION,
    OBSERVATION,
    DelaySettings,
    NoiseSettings,
    PackSettings,
    Randomisation,
)

LISTED = 64
"""Draws of more numbers than this, biases of an image's pixels, are told as their mean."""


class Randomiser:
    """Draws, delays and noise; without any it changes nothing and costs nothing.

    Attributes:
        sensed: the world as sensors tell it, for observations and what is recorded.
    """

    def __init__(
        self,
        settings: Mapping[str, Randomisation],
        world: World,
        task: Task,
        streams: InstanceStreams,
        step_ns: int,
    ) -> None:
        """Look everything up, and add arrays to the world.

        Args:
            settings: of the randomisations, by name.
            world: of the task.
            task: whose actions and observations pass through.
            streams: to draw from, and the steps of the episodes.
            step_ns: simulated time of a step.

        Raises:
            UserError: if anything in the settings does not fit the world or the task.
        """
        self._world, self._task = world, task
        self._draws: list[Draw] = []
        self._lines: dict[str, list[DelayLine]] = {}
        self._noises: dict[str, list[SensorNoise]] = {}
        self._streams = streams
        self._rows = np.arange(world.num_instances)
        for name, entry in settings.items():
            where = f"randomise.{name}.of"
            if isinstance(entry, PackSettings):
                self._draws.append(Draw(name, entry, world, streams, step_ns))
            elif isinstance(entry, DelaySettings):
                spec = self._delayed(entry, where)
                line = DelayLine(name, entry, spec, world, streams)
                self._lines.setdefault(entry.of, []).append(line)
            else:
                spec = self._noisy(entry, where)
                noise = SensorNoise(name, entry, spec, world, streams)
                self._noises.setdefault(entry.of, []).append(noise)
        self._packs = [
            DrawnPack(pack, [draw for draw in self._draws if draw.pack == pack], world)
            for pack in dict.fromkeys(draw.pack for draw in self._draws)
        ]
        self._commands = {of: self._command(of) for of in self._lines if self._on(of, "command")}
        self._sensors = {
            of: Sensor(of, world, self._on(of, "sensor"), self._noises.get(of, ()))
            for of in {**self._lines, **self._noises}
            if of not in (ACTION, OBSERVATION) and (self._on(of, "sensor") or of in self._noises)
        }
        self.sensed = world.through(self._sensors) if self._sensors else world
        self._acting = world.through(self._commands) if self._commands else world

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to randomise."""
        return not (self._draws or self._lines or self._noises)

    def begin(self, ids: Ids) -> None:
        """Draw for new episodes of instances, and write it; packs must be those of the reset."""
        # all are read before any is written, from which others may follow at once or later
        begun = [(drawn.pack, drawn.begin(ids)) for drawn in self._packs]
        for pack, values in begun:
            self._world.write(pack, values, ids)
        for part in (*_all(self._lines), *_all(self._noises)):
            part.begin(ids)

    def begun(self, ids: Ids) -> None:
        """Fill what delays, now that the packs show what was written."""
        for command in self._commands.values():
            command.begin(ids)
        for sensor in self._sensors.values():
            sensor.begin(ids)
        if OBSERVATION in self._lines:
            observation = self._task.observe(self.sensed)
            for line in self._lines[OBSERVATION]:
                line.fill(observation, ids)

    def act(self, action: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Let the task act, later perhaps, and return what it acted on; draw where it is time."""
        again = [(drawn.pack, *drawn.again()) for drawn in self._packs]
        for pack, ids, values in again:
            if len(ids):
                self._world.write(pack, values, ids)
        for line in self._lines.get(ACTION, ()):
            line.fill(action, np.flatnonzero(self._streams.step == 0))
            line.put(action)
            action = line.get()
        self._task.act(self._acting, action)
        for command in self._commands.values():
            command.send()
        return action

    def follow(self) -> None:
        """Look at what sensors tell later, after a step."""
        for sensor in self._sensors.values():
            sensor.follow()

    def observe(self) -> npt.NDArray[Any]:
        """Return what the policy sees, (N, ...); the same however often it is asked for."""
        observation = self._task.observe(self.sensed)
        for line in self._lines.get(OBSERVATION, ()):
            line.put(observation)
            observation = line.get()
        for noise in self._noises.get(OBSERVATION, ()):
            observation = noise.apply(observation, self._rows)
        return observation

    def seen(self, pack: str, value: npt.NDArray[Any], ids: Ids) -> npt.NDArray[Any]:
        """Return a pack's true values in instances, (n, ...), with its noise."""
        return self._sensors[pack].noisy(value, ids) if pack in self._sensors else value

    def draws(self, i: int) -> dict[str, Any]:
        """Return what was drawn for an instance's episode, ``randomise.NAME``: numbers or lists."""
        told: dict[str, Any] = {}
        for name, numbers in self._drawn(i):
            if len(numbers) > LISTED:
                told[name] = float(numbers.mean())
            elif len(numbers):
                told[name] = numbers.tolist() if len(numbers) > 1 else numbers[0].item()
        return told

    def figures(self, ids: Ids) -> dict[str, npt.NDArray[np.float64]]:
        """Return the same as one figure for each of some instances, (n,): the mean of lists."""
        rows = [{n: float(np.mean(v)) for n, v in self.draws(int(i)).items()} for i in ids]
        names = rows[0] if rows else self.draws(0)
        return {name: np.array([row[name] for row in rows], np.float64) for name in names}

    def restored(self) -> None:
        """Forget what was drawn ahead: the world is another."""
        for noise in _all(self._noises):
            noise.forget()

    def _drawn(self, i: int) -> list[tuple[str, npt.NDArray[Any]]]:
        parts = (*self._draws, *_all(self._lines), *_all(self._noises))
        return [(f"randomise.{part.name}", part.draws(i)) for part in parts]

    def _delayed(self, entry: DelaySettings, where: str) -> ArraySpec:
        packs = self._world.outputs
        if entry.side == "command":
            both = self._world.inputs.keys() & packs
            return self._pack(entry.of, {name: packs[name] for name in both}, (), where)
        if entry.of == OBSERVATION:
            return self._task.observation_spec
        if entry.of != ACTION:
            return self._pack(entry.of, packs, (ACTION, OBSERVATION), where)
        if not self._task.decides_always:
            raise UserError(
                f"{where}: actions of this task count at some steps only; delay a datapack that "
                f"it writes instead. Valid: {', '.join(sorted(self._world.inputs))}."
            )
        return self._task.action_spec

    def _noisy(self, entry: NoiseSettings, where: str) -> ArraySpec:
        if entry.of == OBSERVATION:
            return self._task.observation_spec
        return self._pack(entry.of, self._world.outputs, (OBSERVATION,), where)

    def _pack(
        self, of: str, packs: Mapping[str, ArraySpec], others: Sequence[str], where: str
    ) -> ArraySpec:
        """Return the spec of a pack, in the place of which others could stand."""
        if of not in packs:
            raise unknown("datapack", of, [*others, *packs], where)
        return packs[of]

    def _on(self, of: str, side: str) -> list[DelayLine]:
        """Return the delays of a pack on one side."""
        return [line for line in self._lines.get(of, ()) if line.side == side]

    def _command(self, of: str) -> SlowCommand:
        first, *more = self._on(of, "command")
        if more:
            raise UserError(
                f"randomise.{more[0].name}.of: '{of}' is delayed by '{first.name}' already."
            )
        return SlowCommand(first, self._world)


def _all(parts: Mapping[str, list[Any]]) -> list[Any]:
    return [part for several in parts.values() for part in several]
