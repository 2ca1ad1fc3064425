"""What joins the forearm and its spinal circuit: stretch to spikes, spikes to torque."""

import numpy as np

from troupe.loop import From, InstanceTime, Memory, To, transceiver

REST_HZ = 30.0
MAX_HZ = 300.0
TWITCH_S = 0.03
TORQUE_PER_HZ_N_M = 0.3


@transceiver(engine="arm")
def afferents(
    angle: From("arm.angle", unit="rad"),
    velocity: From("arm.velocity", unit="rad/s"),
    stretch_gain: From("fusimotor.stretch_gain", unit="Hz/rad"),
    velocity_gain: From("fusimotor.velocity_gain", unit="Hz s/rad"),
) -> tuple[To("spinal.flexor_stretch", unit="Hz"), To("spinal.extensor_stretch", unit="Hz")]:
    """Encode how far and how fast each muscle is stretched; extension stretches the flexor."""
    change_hz = stretch_gain * angle + velocity_gain * velocity
    flexor, extensor = (np.clip(REST_HZ + c, 0.0, MAX_HZ) for c in (-change_hz, change_hz))
    return flexor[:, None], extensor[:, None]


@transceiver(engine="spinal")
def muscles(
    flexor: From("spinal.flexor_spikes"),
    extensor: From("spinal.extensor_spikes"),
    t: InstanceTime,
    last_ns: Memory("last_ns", dtype=np.int64),
    activation_hz: Memory("activation_hz", shape=(2,)),
) -> To("arm.muscle_torque", unit="N m"):
    """Let each spike of a motor neuron add a twitch, which decays; torque is their sum."""
    elapsed_s = (t - last_ns) * 1e-9
    last_ns[:] = t
    spikes = np.column_stack([flexor.mean(axis=1), extensor.mean(axis=1)])
    activation_hz *= np.exp(-elapsed_s / TWITCH_S)[:, None]
    activation_hz += spikes / TWITCH_S
    return TORQUE_PER_HZ_N_M * activation_hz


@transceiver
def disturb(torque: From("load.torque", unit="N m")) -> To("arm.load_torque", unit="N m"):
    """Put the load on the arm."""
    return torque
