"""The loop of a worker's process."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from typing import Any

from threadpoolctl import threadpool_limits

from troupe.engines.host.channel import Channel, PeerEnded
from troupe.engines.host.messages import Message
from troupe.engines.host.server import encode_error
from troupe.fleet.serving.batch import encode_batch
from troupe.fleet.serving.group import Answer, Command, Group
from troupe.fleet.serving.here import HereCrew
from troupe.fleet.serving.plan import Plan, build_groups
from troupe.fleet.serving.spec import encode_fleet_spec


def serve(end: socket.socket, parent: int) -> None:
    """Build the groups that the first message describes, and do what the others say."""
    threadpool_limits(1)
    channel = Channel(end, is_alive=lambda: os.getppid() == parent)
    try:
        start = channel.receive().message.header
        try:
            plan, groups = _build(start)
            channel.send(encode_fleet_spec(plan.spec(groups[0].simulation)))
        except Exception as error:
            channel.send(encode_error(error, "worker"))
            return
        crew = HereCrew(groups, plan.parts[start["worker"]].first_group)
        if crew.is_alone:
            _answer_one_by_one(channel, crew)
        else:
            threading.Thread(target=_pass_answers_on, args=(channel, crew), daemon=True).start()
            while True:
                crew.post(Command.decode(channel.receive().message))
    except PeerEnded:
        pass


def encode_answer(answer: Answer) -> Message:
    """Return the message of an answer."""
    message = encode_batch(answer.batch)
    own = {"group": answer.group, "generation": answer.generation}
    return Message({**message.header, **own}, message.arrays)


def _build(start: Mapping[str, Any]) -> tuple[Plan, list[Group]]:
    plan = Plan.from_start(start)
    part = plan.parts[start["worker"]]
    groups = build_groups(plan.experiment, part, plan.seed)
    if "episodes" in start:  # in the place of a process that died
        for group, first, last in zip(groups, part.bounds[:-1], part.bounds[1:], strict=True):
            own = slice(first - part.first_instance, last - part.first_instance)
            if start["seeds"] is not None:
                group.simulation.reset(seed=start["seeds"][own])
            group.simulation.episode[:] = start["episodes"][own]
    return plan, groups


def _answer_one_by_one(channel: Channel, crew: HereCrew) -> None:
    """Step the only group in this thread, which saves the way to another one."""
    while True:
        crew.post(Command.decode(channel.receive().message))
        _pass_on(channel, crew)


def _pass_answers_on(channel: Channel, crew: HereCrew) -> None:
    try:
        while _pass_on(channel, crew):
            pass
    except PeerEnded:
        pass  # the thread that receives ends the process


def _pass_on(channel: Channel, crew: HereCrew) -> bool:
    """Send the answers that have come, and return whether there can be more."""
    try:
        answers = crew.collect(None)
    except Exception as error:
        channel.send(encode_error(error, "worker"))
        return False
    for answer in answers:
        channel.send(encode_answer(answer))
    return True
