"""Collecting: episodes of any policy into a shared store, while others read it.

Enters: an experiment, a policy, the URL of a store. Leaves: whole episodes there, each with its
seed, draws, actions, figures and images. `collector` steps the instances of one process, `crew`
has many of those on Ray, `replay` shows any stored episode again from its seed and actions alone.
"""
