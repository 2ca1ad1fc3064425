"""The machines of a Ray cluster: whether they run this version, and the places that they have."""

from __future__ import annotations

import math
import time
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from troupe import __version__
from troupe.core.errors import UserError

PLACED_WITHIN_S = 25.0
ROUNDING = 1e-3
"""Of the number of places, which Ray counts in parts of a core."""

ANSWER_WITHIN_S = 60.0
"""For how long a machine may take to start a process."""


def check_versions() -> None:
    """Check that every machine of the cluster has the version of Troupe that runs here.

    Raises:
        UserError: if one has another, or none, or does not answer.
    """

    # inside a function, so that Ray sends it whole: what is there may lack it
    def version_there() -> str | None:
        try:
            import troupe
        except ModuleNotFoundError:
            return None
        return troupe.__version__

    ask = ray.remote(num_cpus=0, max_retries=0)(version_there)
    asked: dict[Any, str] = {}
    for node in _living_nodes():
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[ask.options(scheduling_strategy=strategy).remote()] = _name(node)
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_WITHIN_S)
    if silent:
        raise UserError(
            f"machine {asked[silent[0]]} of the Ray cluster has started no process for "
            f"{ANSWER_WITHIN_S:g} s."
        )
    for reference in answered:
        try:
            version = ray.get(reference)
        except RayError:  # the machine has left the cluster meanwhile
            continue
        if version != __version__:
            found = f"Troupe {version}" if version else "no Troupe"
            raise UserError(
                f"machine {asked[reference]} of the Ray cluster has {found}, and this process "
                f"Troupe {__version__}: install the same version everywhere."
            )


def num_places(share: float) -> int:
    """Return for how many actors there are cores in the cluster, were it empty.

    Args:
        share: how many cores each takes, all on one machine.
    """
    return sum(_places(cores, share) for cores in _cores())


def share_of_cores(workers: int) -> float:
    """Return how many cores each worker is to take, so that all have a place: one at most."""
    cores = _cores()
    shares = {1.0} | {c / k for c in cores for k in range(1, workers + 1)}
    # Ray counts in units of 0.0001
    rounded = (math.floor(1e4 * share) / 1e4 for share in shares if share <= 1.0)
    fitting = (s for s in rounded if s > 0 and sum(_places(c, s) for c in cores) >= workers)
    return max(fitting, default=0.0)


def free_cores() -> float:
    """Return how many of the cluster's cores nobody has asked for."""
    return float(ray.available_resources().get("CPU", 0.0))


def wait_for_places(share: float, number: int, who: str) -> None:
    """Wait until the cluster has free places: others may be about to leave.

    Args:
        share: how many cores each takes.
        number: of places.
        who: is to have them, e.g. "workers", which is also the key of ``fleet`` that says how many.

    Raises:
        UserError: if there are too few for a while.
    """
    deadline = time.monotonic() + PLACED_WITHIN_S
    while (free := free_cores()) / share < number - ROUNDING:
        if time.monotonic() > deadline:
            total = float(ray.cluster_resources().get("CPU", 0.0))
            raise UserError(
                f"fleet.{who}: there is a place for {int(free / share)} of {number} {who}: each "
                f"takes {share:g} cores, and of the cluster's {total:g}, {free:g} have "
                f"been free for {PLACED_WITHIN_S:g} s."
            )
        time.sleep(0.2)


def _places(cores: float, share: float) -> int:
    return int(1e4 * cores + 0.5) // int(1e4 * share + 0.5)


def _cores() -> list[float]:
    return [float(node["Resources"].get("CPU", 0.0)) for node in _living_nodes()]


def _living_nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _name(node: dict[str, Any]) -> str:
    return f"'{node['NodeManagerHostname']}' ({node['NodeManagerAddress']})"
