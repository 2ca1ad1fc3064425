"""What is experienced: fragments of steps, and episodes.

Enters: what the instances of an actor went through. Leaves: `Fragment`, a time-major block with
the provenance of every step, and the table of the episodes that ended in it.
"""

from troupe.episodes.backlog import Backlog
from troupe.episodes.fragment import (
    EPISODE_FIELDS,
    EpisodeTable,
    Fragment,
    join_instances,
    no_episodes,
)

__all__ = ["EPISODE_FIELDS", "Backlog", "EpisodeTable", "Fragment", "join_instances", "no_episodes"]
