"""Computational graphs: nodes of users' files as nodes of Troupe's graph.

`decorators` is what users' files import, `nodes` translates what it says, `topics` converts
messages of MQTT, `exchange` is all of it as what stands between the engines of a simulation.
"""
