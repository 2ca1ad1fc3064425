"""Randomisation: what differs from episode to episode beside what a task draws itself.

Enters: the ``randomise`` section of an experiment, by name: values of datapacks that are drawn
(`draws`, from `distributions`), delays (`delays`) and noise of sensors (`noise`). Leaves:
`Randomiser`, between a task and its world: it writes what was drawn, and what the task does and
sees passes through it. All draws come from streams named by the randomisation, so that one more
changes none of the others. A new kind is a class beside these, and settings in `settings`.
"""

from troupe.tasks.randomisation.randomiser import Randomiser
from troupe.tasks.randomisation.settings import Randomisation

__all__ = ["Randomisation", "Randomiser"]
