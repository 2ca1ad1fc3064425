"""Tasks: what is to be learned in a world.

Enters: a world of datapacks and the policy's actions. Leaves: observations, rewards, terminations
and metrics, one row for each instance. A task is written over datapacks only, so it runs on any
engine that offers them. To add one, copy `reach.py` and name its settings class in the entry-point
group ``troupe.tasks``.
"""

from troupe.tasks.base import Task, TaskSettings

__all__ = ["Task", "TaskSettings"]
