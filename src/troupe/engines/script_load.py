"""From a user's file to a script that is set up, with arrays for its packs."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np

from troupe.core.arrays import ArraySpec
from troupe.core.errors import UserError
from troupe.core.seeding import Streams
from troupe.core.user_code import find_class, load_file, user_traceback
from troupe.engines.script import Pack, Script, assign
from troupe.engines.script_settings import ScriptSettings

Specs = dict[str, ArraySpec]


def load_script(settings: ScriptSettings, where: str, num_instances: int) -> Script:
    """Return an object of the user's class, set up.

    Raises:
        UserError: if the file has no such class, or it raises.
    """
    module = load_file(settings.file, f"{where}.file")
    cls = find_class(module, Script, settings.class_name, where)
    if cls.step is Script.step:
        raise UserError(f"{where}: {cls.__name__} has no method 'step(self, duration_ns)'.")
    try:
        script = cls()
        script.num_instances = num_instances
        script.parameters = settings.parameters
        script.rng = [Streams(0).generator("script", i) for i in range(num_instances)]
        script.time_ns = np.zeros(num_instances, np.int64)
        script._failures = {}
        script.setup(**settings.parameters)
    except Exception as error:
        message = f"{where}: {cls.__name__} cannot be set up:\n{user_traceback(error)}"
        raise UserError(message) from error
    _check_state(script, where)
    return script


def bind_arrays(script: Script, where: str) -> tuple[Specs, Specs]:
    """Give a script an array for each of its packs, as attributes, and keep those of its state.

    Returns:
        Specs of the inputs and of the outputs.

    Raises:
        UserError: if a pack's description or name cannot be used.
    """
    inputs = _specs(script, "inputs", where)
    outputs = _specs(script, "outputs", where)
    if not outputs:
        raise UserError(f"{where}: {type(script).__name__} has no outputs to read.")
    for name in inputs.keys() & outputs.keys():
        if script.inputs[name] is not script.outputs[name]:
            message = f"'{name}' is an input and another output; use the same pack() for both"
            raise UserError(f"{where}: {message}.")
    arrays = {}
    for name, pack in {**script.inputs, **script.outputs}.items():
        array = np.zeros((script.num_instances, *pack.spec.shape), pack.spec.dtype)
        assign(array, [copy.deepcopy(pack.initial) for _ in array])
        setattr(script, name, array)
        arrays[name] = array
    script._arrays = arrays | {name: getattr(script, name) for name in script.state or ()}
    return inputs, outputs


def _specs(script: Script, kind: str, where: str) -> Specs:
    cls, packs = type(script), getattr(script, kind)
    if not isinstance(packs, Mapping):
        raise UserError(f"{where}: {cls.__name__}.{kind} is no dict of names and packs.")
    for name, pack in packs.items():
        place = f"{where}: {cls.__name__}.{kind}: '{name}'"
        if not isinstance(pack, Pack):
            raise UserError(f"{place} is {pack!r}; describe it with pack(...).")
        if not name.isidentifier():
            raise UserError(f"{place} cannot be an attribute's name.")
        if hasattr(script, name):
            raise UserError(f"{place} is an attribute of the class already; name one of both anew.")
    return {name: pack.spec for name, pack in packs.items()}


def _check_state(script: Script, where: str) -> None:
    for name in script.state or ():
        values: object = getattr(script, name, None)
        shape: tuple[int, ...] = ()
        if isinstance(values, np.ndarray) and values.dtype.kind != "O":
            shape = values.shape
        if shape[:1] != (script.num_instances,):
            place = f"{where}: {type(script).__name__}.state"
            raise UserError(f"{place}: 'setup' makes no array '{name}' of (num_instances, ...).")
