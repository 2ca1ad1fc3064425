"""Scenes: what stands around the robot in a MuJoCo engine.

Enters: ``engines.NAME.scene``, a mapping with a ``type`` of the entry-point group
``troupe.scenes``. Leaves: bodies and cameras in the model, and datapacks for what can be moved or
changed. To add one, copy `tray` and name its settings in that group.
"""

from troupe.engines.scenes.base import Scene, SceneSettings

__all__ = ["Scene", "SceneSettings"]
