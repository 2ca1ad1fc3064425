"""NRP-core experiments on Troupe.

Enters: a ``simulation_config.json`` with its engine scripts and functions. Leaves: a run of
Troupe's loop with the same order, times and values. `config` is what users may write, `simulation`
builds the loop of it, `functions` and `packs` are what users' files import (through the packages
``nrp_core``, ``nrp_client`` and ``nrp_protobuf``), `engines` the engine types, `messages` the
protobuf messages. To add an engine type, copy `engines.scripts`.
"""
