"""Processes of actors that outlive a learner that dies: its successor finds them running."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util import list_named_actors

from troupe import __version__
from troupe.experiments.load import Description
from troupe.fleet.actor import CONTROL

NAMESPACE = "troupe-actors"
ANSWER_WITHIN_S = 5.0


class Kept:
    """What the processes of an experiment's actors are called in a Ray that outlives its learner.

    It has room for one experiment at a time.
    """

    def __init__(self, description: Description) -> None:
        """Know them by the resolved experiment, as plain values."""
        text = json.dumps([__version__, description], sort_keys=True)
        self._digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def options(self, index: int) -> Mapping[str, Any]:
        """Return the options of Ray with which a process is made."""
        name = f"{self._digest}-{index}-{secrets.token_hex(4)}"
        return {"name": name, "namespace": NAMESPACE, "lifetime": "detached"}

    def find(self) -> dict[int, Any]:
        """Return the processes that a dead learner has left, by number, and end all others."""
        asked: dict[Any, tuple[int, Any]] = {}
        for name in _names():
            whose, number, _ = name.split("-")
            with suppress(ValueError):  # it has just died
                process: Any = ray.get_actor(name, NAMESPACE)
                if whose != self._digest:
                    ray.kill(process)
                    continue
                answer = process.whereabout.options(concurrency_group=CONTROL).remote()
                asked[answer] = int(number), process
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_WITHIN_S)
        found = {}
        for answer, (index, process) in asked.items():
            if answer in answered and index not in found and _is_fine(answer):
                found[index] = process
            else:
                ray.kill(process)
        return found


def _names() -> list[str]:
    named = list_named_actors(all_namespaces=True)
    return [actor["name"] for actor in named if actor["namespace"] == NAMESPACE]


def _is_fine(answer: Any) -> bool:
    try:
        ray.get(answer)
    except RayError:
        return False
    return True
