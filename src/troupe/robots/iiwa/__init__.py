"""KUKA LBR iiwa 14, 7 DoF, with a parallel gripper of two fingers that open 8 cm."""

from pathlib import Path

from troupe.robots.robot import Robot

ROBOT = Robot.from_mjcf(Path(__file__).with_name("model.xml"))
