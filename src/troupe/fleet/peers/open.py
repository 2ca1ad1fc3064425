"""From the settings of a merge to the learners that exchange by it."""

from __future__ import annotations

from troupe.fleet.peers.exchange import Exchange
from troupe.fleet.peers.gossip import Gossiping
from troupe.fleet.peers.gradients import AllReduce
from troupe.fleet.peers.local import LocalModel, MakeLocalModel
from troupe.fleet.peers.pool import Pool
from troupe.fleet.peers.rounds import Rounds
from troupe.fleet.peers.server import Asynchronous, Synchronous
from troupe.learning.merging import MergeSettings
from troupe.learning.merging.gossip import Gossip
from troupe.learning.merging.parameter_server import ParameterServerSettings


def open_exchange(
    settings: MergeSettings,
    make: MakeLocalModel,
    common: LocalModel,
    num_learners: int,
    seed: int,
    processes: int | None = None,
) -> Exchange:
    """Start learners on Ray, which is connected, and return how they exchange.

    Args:
        settings: of the merge.
        make: makes local models.
        common: a model that gathers no experience, as the learners begin with.
        num_learners: how many.
        seed: the root seed.
        processes: that share the cluster's cores; default: the learners.

    Raises:
        UserError: if there are too few learners for the merge.
    """
    settings.check(num_learners)
    merge = settings.build(seed)
    pool = Pool(make, range(num_learners), processes or num_learners)
    if isinstance(merge, Gossip):
        return Gossiping(pool, common, merge, settings.every)
    if isinstance(settings, ParameterServerSettings) and not settings.synchronous:
        return Asynchronous(pool, common, settings.every)
    if settings.exchange == "server":
        return Synchronous(pool, common, merge)
    if settings.exchange == "gradients":
        return AllReduce(pool, common, merge)
    return Rounds(pool, common, merge, settings.every)
