"""Experiments: one validated description of engines, loop, task, learner and fleet.

Enters: YAML files, the catalog, overrides. Leaves: settings objects, simulations built from them
and the Gymnasium environments. To add an experiment to the catalog, add a file to `catalog/`.
"""
