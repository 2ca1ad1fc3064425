"""A controller of joints that learns what its feedback leaves over, by Nengo's PES rule."""

from collections.abc import Sequence
from typing import Any

import nengo
import numpy as np


def model(
    *,
    learning_rate: float = 2e-4,
    num_neurons: int = 600,
    stiffness: Sequence[float] = (30.0, 20.0, 10.0),
    damping: Sequence[float] = (4.0, 2.0, 1.0),
    reach_rad: float = 1.5,
) -> Any:
    """Build the controller.

    Args:
        learning_rate: of the neurons' decoders; 0 for feedback alone.
        num_neurons: that see where the arm is.
        stiffness: torque of the feedback for each rad of a joint's error, N m/rad.
        damping: torque for each rad/s, N m s/rad.
        reach_rad: joint angles that the neurons represent best, -reach .. reach.
    """
    joints = len(stiffness)
    P, D = np.diag(stiffness), np.diag(damping)
    with nengo.Network(seed=1) as network:
        position = nengo.Node([0.0] * joints, label="position")
        velocity = nengo.Node([0.0] * joints, label="velocity")
        target = nengo.Node([0.0] * joints, label="target")
        target_velocity = nengo.Node([0.0] * joints, label="target_velocity")

        feedback = nengo.Node(size_in=joints)
        gains = ((target, P), (target_velocity, D), (position, -P), (velocity, -D))
        for source, gain in gains:
            nengo.Connection(source, feedback, transform=gain, synapse=None)

        context = nengo.Ensemble(num_neurons, joints, radius=joints**0.5)
        nengo.Connection(position, context, transform=1 / reach_rad)
        learned = nengo.Node(size_in=joints)
        decoders = nengo.Connection(
            context,
            learned,
            function=lambda x: [0.0] * joints,
            learning_rule_type=nengo.PES(learning_rate),
        )
        # what the feedback has still to do is what the neurons are to do: the error, negative
        nengo.Connection(feedback, decoders.learning_rule, transform=-1)

        torque = nengo.Node(size_in=joints)
        nengo.Connection(feedback, torque, synapse=None)
        nengo.Connection(learned, torque, synapse=None)
        nengo.Probe(torque, label="torque")
        nengo.Probe(learned, label="learned")
    return network
