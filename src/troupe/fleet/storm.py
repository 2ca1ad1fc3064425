"""Storms: which parts of a run are killed, and when."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import Field

from troupe.core import Streams
from troupe.core.errors import UserError
from troupe.core.settings import Duration, Settings, validated
from troupe.core.time import NANOSECONDS

Part = Literal["actor", "learner", "node"]
PARTS: tuple[Part, ...] = get_args(Part)

Status = Mapping[str, Any]
"""What a run's ``status.json`` holds."""


class BlowSettings(Settings):
    """One event of a storm's script.

    Attributes:
        at: time since the run began to learn.
        kill: ``actor``; ``learner``: the training process, or with several learners one of these;
            ``node``: Ray itself on this machine.
        which: number of the actor or learner; default: one at random.
    """

    at: Duration
    kill: Part
    which: int | None = Field(None, ge=0)


@dataclass(frozen=True)
class Blow:
    """A part that is to be killed.

    Attributes:
        at_s: since the run began to learn.
        part: what.
        draw: 0 to 1, which one of those that are there.
        which: its number, if that is given.
    """

    at_s: float
    part: Part
    draw: float
    which: int | None = None


@dataclass(frozen=True)
class Target:
    """A process that is to be killed.

    Attributes:
        part: what it is.
        number: of the actor or learner; 0 for what there is one of.
        process: its id.
    """

    part: Part
    number: int
    process: int


def regular_storm(every_s: Mapping[Part, float], duration_s: float, seed: int) -> list[Blow]:
    """Return a storm that kills parts at regular intervals.

    Args:
        every_s: interval by part.
        duration_s: after which it is over.
        seed: from which it follows which of several are killed.
    """
    blows = []
    for part in PARTS:
        if part not in every_s:
            continue
        times = [n * every_s[part] for n in range(1, int(duration_s / every_s[part]) + 1)]
        draws = Streams(seed).generator(f"storm-{part}").random(len(times))
        blows += [Blow(at_s, part, draw) for at_s, draw in zip(times, draws.tolist(), strict=True)]
    return sorted(blows, key=lambda blow: blow.at_s)


def scripted_storm(path: Path, seed: int) -> list[Blow]:
    """Return the storm of a YAML file, a list of ``{at: 10s, kill: actor, which: 3}``.

    Raises:
        UserError: if it cannot be read, or anything in it is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"storm '{path}' cannot be read: {error}") from error
    if not isinstance(content, list):
        raise UserError(f"storm '{path}' is to be a list, e.g. - {{at: 10s, kill: actor}}")
    draws = Streams(seed).generator("storm-script").random(len(content)).tolist()
    blows = []
    for number, (entry, draw) in enumerate(zip(content, draws, strict=True)):
        settings = validated(BlowSettings, entry, where=f"{path}, entry {number}")
        at_s = settings.at / NANOSECONDS["s"]
        blows.append(Blow(at_s, settings.kill, draw, settings.which))
    return sorted(blows, key=lambda blow: blow.at_s)


def target_of(blow: Blow, status: Status) -> Target | None:
    """Return what a blow hits in a run, None while there is no such process on this machine."""
    if blow.part == "node":
        return _chosen(blow, [{"node": 0, **node} for node in status.get("nodes", [])], "node")
    if blow.part == "actor":
        return _chosen(blow, status["workers"], "worker")
    if learners := status.get("learners"):
        return _chosen(blow, learners, "learner")
    own = {"learner": 0, "process": status["process"], "host": status["host"]}
    return _chosen(blow, [own], "learner")


def kill(target: Target, status: Status, supervisor: int) -> bool:
    """Kill a process of a run on this machine; return whether it was there.

    All that is started for a run is in the session of its supervisor or of its training process, so
    nobody else's is hit.
    """
    try:
        if os.getsid(target.process) not in map(_session, (supervisor, status["process"])):
            return False
        os.kill(target.process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _session(process: int) -> int | None:
    with suppress(ProcessLookupError):
        return os.getsid(process)
    return None


def _chosen(blow: Blow, places: Sequence[Mapping[str, Any]], name: str) -> Target | None:
    here = [place for place in places if place["host"] == socket.gethostname()]
    if blow.which is not None:
        here = [place for place in here if place[name] == blow.which]
    if not here:
        return None
    place = here[int(blow.draw * len(here))]
    return Target(blow.part, place[name], place["process"])
