"""SCARA, 3 DoF: a planar arm of three links that turn about vertical axes, reach 0.695 m."""

from pathlib import Path

from troupe.robots.robot import Robot

ROBOT = Robot.from_mjcf(Path(__file__).with_name("model.xml"))
