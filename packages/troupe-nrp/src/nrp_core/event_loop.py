"""What files of a computational graph import with ``from nrp_core.event_loop import *``."""

from troupe_nrp.graph.decorators import (
    Clock,
    FromEngine,
    FromFunctionalNode,
    FunctionalNode,
    Iteration,
    MQTTPublisher,
    MQTTSubscriber,
    ToEngine,
    node_policies,
    refused,
)

_NO_ROS = "connect the topic through MQTT, with @MQTTSubscriber and @MQTTPublisher"
_NO_SPINNAKER = "simulate the network with an engine of type nest_json, and use @FromEngine"

RosSubscriber = refused("@RosSubscriber", _NO_ROS)
RosPublisher = refused("@RosPublisher", _NO_ROS)
FromSpiNNaker = refused("@FromSpiNNaker", _NO_SPINNAKER)
ToSpiNNaker = refused("@ToSpiNNaker", _NO_SPINNAKER)
createFNFromFactoryModule = refused("createFNFromFactoryModule", "write the node in Python")

__all__ = [
    "Clock",
    "FromEngine",
    "FromFunctionalNode",
    "FromSpiNNaker",
    "FunctionalNode",
    "Iteration",
    "MQTTPublisher",
    "MQTTSubscriber",
    "RosPublisher",
    "RosSubscriber",
    "ToEngine",
    "ToSpiNNaker",
    "createFNFromFactoryModule",
    "node_policies",
]
