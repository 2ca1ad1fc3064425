"""Engine types of NRP-core, as engines of Troupe.

Enters: an engine's entry of the configuration. Leaves: an engine whose packs hold JSON. `adapter`
makes an engine of any object with packs by name (`Part`), `scripts` runs Python scripts,
`nest_json` a NEST kernel, `py_sim` simulators, `datatransfer` files. `settings` is importable
without any of them.
"""
