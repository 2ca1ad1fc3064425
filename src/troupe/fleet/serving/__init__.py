"""The Experiment API: anybody's model, in any framework, steps the instances of a fleet.

Enters: an experiment, or the address of a fleet that ``troupe serve`` offers elsewhere. Leaves: a
`Fleet`, whose instances are stepped together (`Fleet.vector_env`) or each at its own pace
(`Fleet.recv`, `Fleet.send`). A fleet speaks to its instances by a link: `local` for this machine,
over a crew in this process (`here`) or of processes (`processes`); `client` for another machine,
whose other side is `service` with a `session` for each client. Nothing is ever pickled. A new
transport is a class like `client.RemoteLink`.
"""

from troupe.fleet.serving.batch import Batch
from troupe.fleet.serving.fleet import Fleet
from troupe.fleet.serving.open import connect

__all__ = ["Batch", "Fleet", "connect"]
