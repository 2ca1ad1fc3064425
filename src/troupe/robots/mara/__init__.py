"""MARA, 6 DoF: a modular arm of six rotary joints, about 0.6 m reach from its shoulder."""

from pathlib import Path

from troupe.robots.robot import Robot

ROBOT = Robot.from_mjcf(Path(__file__).with_name("model.xml"))
