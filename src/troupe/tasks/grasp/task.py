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
from troupe.tasks.base import Bools, Task
from troupe.tasks.grasp.approach import Approach
from troupe.tasks.grasp.attempt import CLOSED, NUM_WAYPOINTS, UP
from troupe.tasks.grasp.contents import Contents
from troupe.tasks.grasp.hand import Hand
from troupe.tasks.grasp.outcome import CLOSED_ON_NOTHING_M, COMES_ALONG_M, Held

if TYPE_CHECKING:
    from troupe.tasks.grasp.settings import AttemptSettings

AFTER_UP_S = 0.1


class GraspTask(Task):
    """At most one attempt an episode; it succeeds when a thing is lifted and held."""

    decides_always = False

    def __init__(
        self,
        settings: AttemptSettings,
        approach: Approach,
        engine: str,
        robot: Robot,
        world: World,
        step_ns: int,
    ) -> None:
        """Add the task's arrays to a world.

        Raises:
            UserError: if the world lacks a datapack of the robot's or the scene's.
        """
        self._settings, self._approach = settings, approach
        self._step_s = step_ns / NANOSECONDS["s"]
        self._settled = -(-settings.settle // step_ns)
        self._interval = max(1, round(approach.interval_s / self._step_s))
        self._hand = Hand(engine, robot, world)
        self._contents = contents = Contents(settings, engine, world, 2 * self._hand.open_m)
        hold_s = settings.hold / NANOSECONDS["s"]
        self._held = Held(world, contents.places, settings.lifted_m, hold_s)
        n, k, dof = world.num_instances, contents.places, len(robot.joints)
        world.arrays |= {
            "grasp_step": np.zeros(n, np.int64),
            "grasp_began": np.zeros(n, np.int64),
            "grasp_next": np.zeros(n, np.int64),
            "grasp_actions": np.zeros(n, np.int64),
            "grasp_cost": np.zeros(n),
            "grasp_waypoints": np.zeros((n, NUM_WAYPOINTS, dof)),
            "grasp_times": np.zeros((n, NUM_WAYPOINTS)),
            "grasp_closes": np.zeros(n),
            "grasp_target": np.zeros((n, 4)),
            "grasp_unreachable": np.zeros(n, np.bool_),
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
        self.action_spec = approach.action_spec

    def reset(self, world: World, instances: Ids, rng: Sequence[Generator]) -> None:
        """Draw what is in the tray, and put it there; the arm waits with an open hand."""
        self._contents.reset(world, instances, rng)
        self._held.reset(world, instances)
        self._hand.reset(world, self._approach.start, instances)
        arrays = world.arrays
        for name, values in arrays.items():
            if name.startswith("grasp_"):
                values[instances] = 0
        arrays["grasp_began"][instances] = arrays["grasp_next"][instances] = self._settled
        arrays["grasp_waypoints"][instances] = self._approach.start
        arrays["grasp_target"][instances] = self._approach.start_target

    def act(self, world: World, action: npt.NDArray[Any]) -> None:
        """Take up the action where one counts, and go on with what was decided."""
        arrays = world.arrays
        deciding = np.flatnonzero(self.decides(world))
        arrays["grasp_cost"][...] = 0.0
        if len(deciding):
            self._begin(world, action[deciding], deciding)
        arrays["grasp_step"] += 1
        now_s = self.attempt_s(world)
        command = positions_at(arrays["grasp_waypoints"], arrays["grasp_times"], now_s)
        self._hand.command(world, command, (now_s > arrays["grasp_closes"]) & (now_s > 0))

    def observe(self, world: World) -> npt.NDArray[Any]:
        """Return joints, speeds, tool, fingers, time and whether the next action counts.

        Or, if the settings say so, the image of the moment in which an action is chosen.
        """
        if self._image is not None:
            return self._look(world, self._image)
        rest = [
            self._hand.read(world, "gripper_position"),
            self.attempt_s(world),
            self.decides(world).astype(np.float64),
        ]
        parts = [self._hand.read(world, name) for name in ("joint_position", "joint_velocity")]
        parts += [self._hand.read(world, "tool_position"), np.stack(rest, axis=1)]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def reward(self, world: World, action: npt.NDArray[Any]) -> Array:
        """Return 1 for attempts that succeed now, less what actions cost, (N,)."""
        cost: Array = world.arrays["grasp_cost"]
        return self._held.succeeded(world).astype(np.float64) - cost

    def terminated(self, world: World) -> Bools:
        """Follow what became of the attempts, and return which are over, (N,)."""
        self._follow(world)
        now_s, arrays = self.attempt_s(world), world.arrays
        over: Bools = self._held.succeeded(world) | arrays["grasp_unreachable"]
        over |= (now_s > arrays["grasp_times"][:, -1] + 4 * self._step_s) & (now_s > 0)
        over |= arrays["grasp_step"] == self._after_all_actions(world)
        if self._settings.ends_early:
            over |= self._has_failed(world, now_s)
        return over

    def metrics(self, world: World) -> dict[str, Array]:
        """Return success, the thing's number, slip, energy and where the hand went."""
        arrays = world.arrays
        success = self._held.succeeded(world)
        best, _ = self._held.longest(world)
        number = np.where(success, arrays["tray_object"][np.arange(len(best)), best], -1)
        target = arrays["grasp_target"]
        metrics = {
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
        if self._approach.max_actions > 1:
            metrics["actions"] = arrays["grasp_actions"].astype(np.float64)
        return metrics

    def draws(self, world: World, instance: int) -> Mapping[str, Any]:
        """Return what was drawn for the present episode of an instance."""
        return self._contents.draws(world, instance)

    def attempt_s(self, world: World) -> Array:
        """Return the time since the last action was taken up, (N,); not above 0 before any."""
        arrays = world.arrays
        elapsed: Array = (arrays["grasp_step"] - arrays["grasp_began"]) * self._step_s
        return elapsed

    def decides(self, world: World) -> Bools:
        """Return where the next action counts, (N,)."""
        waits: Bools = world.arrays["grasp_step"] == world.arrays["grasp_next"]
        return waits

    def _after_all_actions(self, world: World) -> npt.NDArray[np.int64]:
        """Return the step at which an action would be due after the last one, (N,); else -1."""
        arrays = world.arrays
        is_out = arrays["grasp_actions"] >= self._approach.max_actions
        due: npt.NDArray[np.int64] = np.where(is_out, arrays["grasp_next"], -1)
        return due

    def _look(self, world: World, pack: str) -> npt.NDArray[Any]:
        """Return the images in which actions are chosen, (N, ...); zeros before that."""
        images, decides = world.arrays["grasp_image"], self.decides(world)
        if decides.any():
            images[decides] = world.read(pack)[decides]
        return images.copy()

    def _begin(self, world: World, action: npt.NDArray[Any], ids: Ids) -> None:
        """Plan what arms of some instances do."""
        arrays = world.arrays
        joints = np.array(self._hand.joint_command(world)[ids])
        number = arrays["grasp_actions"][ids]
        decision = self._approach.decide(action, joints, arrays["grasp_target"][ids], number)
        now = arrays["grasp_step"][ids]
        arrays["grasp_began"][ids] = now
        arrays["grasp_next"][ids] = np.where(decision.is_last, -1, now + self._interval)
        arrays["grasp_actions"][ids] += 1
        arrays["grasp_cost"][ids] = self._approach.step_cost
        arrays["grasp_target"][ids] = decision.target
        arrays["grasp_waypoints"][ids] = decision.plan.waypoints
        arrays["grasp_times"][ids] = decision.plan.times_s
        arrays["grasp_closes"][ids] = decision.plan.closes_s
        arrays["grasp_unreachable"][ids] = ~decision.plan.is_reachable

    def _follow(self, world: World) -> None:
        """Add up how long things are held, how far they slip in the hand, and the energy."""
        arrays, now_s = world.arrays, self.attempt_s(world)
        is_up = (now_s > arrays["grasp_times"][:, CLOSED]) & (now_s > 0)
        self._held.follow(world, self._contents.heights(world), is_up, self._step_s)
        tool = self._hand.read(world, "tool_position")[:, None]
        offset = self._contents.poses(world)[..., :3] - tool
        is_closed = now_s <= arrays["grasp_times"][:, CLOSED]
        arrays["grasp_offset"][is_closed] = offset[is_closed]
        best, held_s = self._held.longest(world)
        rows = np.arange(world.num_instances)
        slip = np.linalg.norm((offset - arrays["grasp_offset"])[rows, best], axis=1)
        is_held = held_s > 0
        arrays["grasp_slip"][is_held] = np.maximum(arrays["grasp_slip"], slip)[is_held]
        arrays["grasp_energy"] += self._hand.power_w(world) * self._step_s

    def _has_failed(self, world: World, now_s: Array) -> Bools:
        """Return where fingers have closed on nothing, or nothing has come along, (N,)."""
        times_s = world.arrays["grasp_times"]
        is_empty = self._hand.read(world, "gripper_position") < CLOSED_ON_NOTHING_M
        is_closed = (now_s > times_s[:, CLOSED]) & (now_s > 0)
        is_up = (now_s > times_s[:, UP] + AFTER_UP_S) & (now_s > 0)
        none_came = self._contents.heights(world).max(axis=1) < COMES_ALONG_M
        failed: Bools = np.where(is_up, is_empty | none_came, is_closed & is_empty)
        return failed
