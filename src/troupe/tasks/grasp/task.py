"""Grasp: close the hand somewhere over a tray and lift what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.core.seeding import Generator
from troupe.core.time import NANOSECONDS
from troupe.robots import Robot
from troupe.robots.trajectory import positions_at
from troupe.robots.tray import TRAY
from troupe.tasks.base import Bools, Task
from troupe.tasks.control import clip
from troupe.tasks.grasp.attempt import CLOSED, CLOSES, NUM_WAYPOINTS, UP, plan, pointing_down
from troupe.tasks.grasp.placing import place
from troupe.tasks.grasp.things import Drawn, ThingPacks, scene_meshes

if TYPE_CHECKING:
    from troupe.tasks.grasp.settings import GraspSettings

CLOSED_ON_NOTHING_M = 0.001
"""A finger that gets so near the middle holds nothing."""

COMES_ALONG_M = 0.03
"""How far a thing is above the floor, at least, when it is lifted with the hand."""

AFTER_UP_S = 0.1


class GraspTask(Task):
    """One attempt an episode; it succeeds when a thing is lifted and held."""

    def __init__(
        self, settings: GraspSettings, engine: str, robot: Robot, world: World, step_ns: int
    ) -> None:
        """Add the task's arrays to a world.

        Raises:
            UserError: if the world lacks a datapack of the robot's or the scene's.
        """
        self._settings, self._robot = settings, robot
        start_rad = settings.start_rad
        self._start: Array = robot.home if start_rad is None else np.array(start_rad)
        self._step_s = step_ns / NANOSECONDS["s"]
        self._settled = -(-settings.settle // step_ns)
        self._things = ThingPacks(engine, world)
        names = ["joint_position", "joint_velocity", "tool_position"]
        names += ["gripper_position"]
        self._packs = {name: f"{engine}.{name}" for name in names}
        for pack in self._packs.values():
            world.output(pack)
        self._command, self._fingers = f"{engine}.joint_target", f"{engine}.gripper_target"
        self._open_m = float(world.input(self._fingers).high)
        meshes = (
            scene_meshes(engine, world, 2 * self._open_m) if "meshes" in settings.splits() else ()
        )
        self._shown = settings.things(meshes)
        self._kinds = {thing.number: thing.kind for thing in self._shown}
        self._low, self._high = settings.action_range()
        n, k, dof = world.num_instances, self._things.places, len(robot.joints)
        world.arrays |= {
            "grasp_object": np.full((n, k), -1),
            "grasp_mass": np.zeros((n, k)),
            "grasp_friction": np.zeros((n, k)),
            "grasp_pose": np.zeros((n, 7)),
            "grasp_step": np.zeros(n, np.int64),
            "grasp_waypoints": np.zeros((n, NUM_WAYPOINTS, dof)),
            "grasp_times": np.zeros((n, NUM_WAYPOINTS)),
            "grasp_target": np.zeros((n, 4)),
            "grasp_unreachable": np.zeros(n, np.bool_),
            "grasp_held": np.zeros((n, k)),
            "grasp_offset": np.zeros((n, k, 3)),
            "grasp_slip": np.zeros(n),
            "grasp_energy": np.zeros(n),
        }
        num_observations = 2 * dof + 6
        self.observation_spec = ArraySpec((num_observations,), dtype=np.dtype(np.float32))
        self._image = None if settings.image is None else f"{engine}.{settings.image}"
        if self._image is not None:
            self.observation_spec = spec = world.output(self._image)
            world.arrays["grasp_image"] = np.zeros((n, *spec.shape), spec.dtype)
        one = np.asarray(1.0)
        self.action_spec = ArraySpec((4,), low=-one, high=one, names=("x", "y", "height", "yaw"))

    def reset(self, world: World, instances: Ids, rng: Sequence[Generator]) -> None:
        """Draw what is in the tray, and put it there; the arm waits with an open hand."""
        drawn = [self._draw(stream) for stream in rng]
        self._things.write(world, drawn, instances)
        world.write(self._packs["joint_position"], self._start, instances)
        world.write(self._command, self._start, instances)
        world.write(self._fingers, self._open_m, instances)
        arrays = world.arrays
        for name, values in arrays.items():
            if name.startswith("grasp_"):
                values[instances] = 0
        arrays["grasp_object"][instances] = -1
        arrays["grasp_waypoints"][instances] = self._start
        for i, episode in zip(instances, drawn, strict=True):
            here = slice(len(episode.things))
            arrays["grasp_object"][i, here] = [thing.number for thing in episode.things]
            arrays["grasp_mass"][i, here] = episode.mass_kg
            arrays["grasp_friction"][i, here] = episode.friction

    def act(self, world: World, action: npt.NDArray[Any]) -> None:
        """Take up the action where things have settled, and go on with all attempts."""
        arrays = world.arrays
        deciding = np.flatnonzero(self.decides(world))
        if len(deciding):
            self._begin(world, action[deciding], deciding)
        arrays["grasp_step"] += 1
        now_s = self.attempt_s(world)
        command = positions_at(arrays["grasp_waypoints"], arrays["grasp_times"], now_s)
        world.write(self._command, command)
        is_closing = (now_s > arrays["grasp_times"][:, CLOSES]) & (now_s > 0)
        world.write(self._fingers, np.where(is_closing, 0.0, self._open_m))

    def observe(self, world: World) -> npt.NDArray[Any]:
        """Return joints, speeds, tool, fingers, time and whether the next action counts.

        Or, if the settings say so, the image of the moment in which the attempt is chosen.
        """
        if self._image is not None:
            return self._look(world, self._image)
        rest = [
            self._read(world, "gripper_position"),
            self.attempt_s(world),
            self.decides(world).astype(np.float64),
        ]
        parts = [self._read(world, name) for name in ("joint_position", "joint_velocity")]
        parts += [self._read(world, "tool_position"), np.stack(rest, axis=1)]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return 1 for attempts that succeed now, (N,)."""
        return self._succeeded(world).astype(np.float64)

    def terminated(self, world: World) -> Bools:
        """Follow what became of the attempts, and return which are over, (N,)."""
        self._follow(world)
        now_s, arrays = self.attempt_s(world), world.arrays
        over: Bools = self._succeeded(world) | arrays["grasp_unreachable"]
        over |= (now_s > arrays["grasp_times"][:, -1] + 4 * self._step_s) & (now_s > 0)
        if self._settings.ends_early:
            over |= self._has_failed(world, now_s)
        return over

    def metrics(self, world: World) -> dict[str, Array]:
        """Return success, the thing's number, slip, energy and where the hand closed."""
        arrays = world.arrays
        success = self._succeeded(world)
        best = arrays["grasp_held"].argmax(axis=1)
        rows = np.arange(world.num_instances)
        number = np.where(success, arrays["grasp_object"][rows, best], -1)
        target = arrays["grasp_target"]
        return {
            "success": success.astype(np.float64),
            "object": number.astype(np.float64),
            "slip_m": arrays["grasp_slip"],
            "energy_j": arrays["grasp_energy"],
            "x_m": target[:, 0],
            "y_m": target[:, 1],
            "z_m": target[:, 2],
            "yaw_rad": target[:, 3],
            "unreachable": arrays["grasp_unreachable"].astype(np.float64),
        }

    def draws(self, world: World, instance: int) -> Mapping[str, Any]:
        """Return what was drawn for the present episode of an instance."""
        arrays = world.arrays
        numbers = arrays["grasp_object"][instance]
        here = numbers >= 0
        return {
            "objects": numbers[here].tolist(),
            "kinds": ",".join(self._kinds[int(n)] for n in numbers[here]),
            "mass_kg": arrays["grasp_mass"][instance][here].tolist(),
            "friction": arrays["grasp_friction"][instance][here].tolist(),
        }

    def attempt_s(self, world: World) -> Array:
        """Return the time since the attempts began, (N,); not above 0 while things settle."""
        elapsed: Array = (world.arrays["grasp_step"] - self._settled) * self._step_s
        return elapsed

    def decides(self, world: World) -> Bools:
        """Return where the next action counts, (N,)."""
        waits: Bools = world.arrays["grasp_step"] == self._settled
        return waits

    def _draw(self, rng: Generator) -> Drawn:
        """Draw what is in a tray."""
        settings = self._settings
        number = int(rng.integers(settings.count[0], settings.count[1], endpoint=True))
        chosen = rng.choice(len(self._shown), number)
        things = [self._shown[i] for i in chosen]
        poses = place([thing.solid for thing in things], TRAY, rng)
        least, most = np.log(settings.mass_scale)
        scale = np.exp(rng.uniform(least, most, number))
        mass_kg = scale * [thing.mass_kg for thing in things]
        return Drawn(things, poses, mass_kg, rng.uniform(*settings.friction, number))

    def _look(self, world: World, pack: str) -> npt.NDArray[Any]:
        """Return the images in which attempts are chosen, (N, ...); zeros before that."""
        images, decides = world.arrays["grasp_image"], self.decides(world)
        if decides.any():
            images[decides] = world.read(pack)[decides]
        return images.copy()

    def _begin(self, world: World, action: npt.NDArray[Any], ids: Ids) -> None:
        """Plan the attempts of some instances."""
        settings, arrays = self._settings, world.arrays
        share = 0.5 * (clip(action, -1.0, 1.0) + 1.0)
        target = self._low + share * (self._high - self._low)
        target[:, 2] += TRAY.floor_m
        planned = plan(
            self._robot,
            np.array(world.read(self._command)[ids]),
            pointing_down(target[:, :3], target[:, 3]),
            above_m=settings.above_m,
            up_m=TRAY.floor_m + settings.lift_to_m,
            close_s=settings.close / NANOSECONDS["s"],
            hold_s=settings.hold / NANOSECONDS["s"],
        )
        arrays["grasp_target"][ids] = target
        arrays["grasp_waypoints"][ids] = planned.waypoints
        arrays["grasp_times"][ids] = planned.times_s
        arrays["grasp_unreachable"][ids] = ~planned.is_reachable

    def _follow(self, world: World) -> None:
        """Add up how long things are held, how far they slip in the hand, and the energy."""
        arrays, now_s = world.arrays, self.attempt_s(world)
        is_up = (now_s > arrays["grasp_times"][:, CLOSED]) & (now_s > 0)
        is_lifted = (self._heights(world) > self._settings.lifted_m) & is_up[:, None]
        held = arrays["grasp_held"]
        held[...] = np.where(is_lifted, held + self._step_s, 0.0)
        offset = self._things.positions(world) - self._read(world, "tool_position")[:, None]
        is_closed = now_s <= arrays["grasp_times"][:, CLOSED]
        arrays["grasp_offset"][is_closed] = offset[is_closed]
        best = held.argmax(axis=1)
        rows = np.arange(world.num_instances)
        slip = np.linalg.norm((offset - arrays["grasp_offset"])[rows, best], axis=1)
        is_held = held[rows, best] > 0
        arrays["grasp_slip"][is_held] = np.maximum(arrays["grasp_slip"], slip)[is_held]
        if self._robot.servo is not None:
            position, velocity = (self._read(world, f"joint_{n}") for n in ("position", "velocity"))
            effort = self._robot.servo.effort(world.read(self._command), position, velocity)
            arrays["grasp_energy"] += np.abs(effort * velocity).sum(axis=1) * self._step_s

    def _succeeded(self, world: World) -> Bools:
        hold_s = self._settings.hold / NANOSECONDS["s"]
        done: Bools = world.arrays["grasp_held"].max(axis=1) >= hold_s - 1e-9
        return done

    def _has_failed(self, world: World, now_s: Array) -> Bools:
        """Return where fingers have closed on nothing, or nothing has come along, (N,)."""
        times_s = world.arrays["grasp_times"]
        is_empty = self._read(world, "gripper_position") < CLOSED_ON_NOTHING_M
        is_closed = (now_s > times_s[:, CLOSED]) & (now_s > 0)
        is_up = (now_s > times_s[:, UP] + AFTER_UP_S) & (now_s > 0)
        none_came = self._heights(world).max(axis=1) < COMES_ALONG_M
        failed: Bools = np.where(is_up, is_empty | none_came, is_closed & is_empty)
        return failed

    def _heights(self, world: World) -> Array:
        """Return how far things in the tray are above its floor, (N, K), m; absent ones below."""
        heights = self._things.positions(world)[..., 2] - TRAY.floor_m
        return np.where(world.arrays["grasp_object"] >= 0, heights, -1.0)

    def _read(self, world: World, pack: str) -> npt.NDArray[Any]:
        return world.read(self._packs[pack])
