"""Recordings as MCAP, which Foxglove and other viewers of robot data open.

A channel for each pack, named "/engine/pack"; a message is the JSON of one synchronisation:
``{"instances": [...], "unit": "..."}``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from troupe.core.errors import UserError
from troupe.episodes.recording import PackRecording, read_recording

SCHEMA = {
    "type": "object",
    "properties": {
        "instances": {"type": "array", "description": "a value for each instance"},
        "unit": {"type": "string"},
    },
}


def check_mcap() -> None:
    """Check that MCAP files can be written.

    Raises:
        UserError: if the package is missing.
    """
    try:
        import mcap.writer  # noqa: F401
    except ImportError as error:
        message = "MCAP is not installed; install it with: pip install 'troupe[mcap]'"
        raise UserError(f"loop.record.mcap: {message}.") from error


def write_mcap(recording: Path, output: Path) -> None:
    """Write a recording as one MCAP file, its messages in the order of simulated time.

    Args:
        recording: folder of the recording.
        output: of the file, which appears whole or not at all.

    Raises:
        UserError: if the package is missing, or the recording cannot be read.
    """
    check_mcap()
    from mcap.writer import Writer

    packs = read_recording(recording)
    aside = output.with_name(f".{output.name}.part")
    with aside.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="", library="troupe")
        schema = writer.register_schema(
            name="troupe.Datapack", encoding="jsonschema", data=json.dumps(SCHEMA).encode()
        )
        channels = {
            name: writer.register_channel(
                topic=f"/{name.replace('.', '/', 1)}", message_encoding="json", schema_id=schema
            )
            for name in packs
        }
        moments = sorted(
            (int(time_ns), name, i)
            for name, pack in packs.items()
            for i, time_ns in enumerate(pack.time_ns)
        )
        for time_ns, name, i in moments:
            content = json.dumps(_message(packs[name], i)).encode()
            writer.add_message(channels[name], log_time=time_ns, publish_time=time_ns, data=content)
        writer.finish()
    aside.replace(output)


def _message(pack: PackRecording, index: int) -> dict[str, Any]:
    values = pack.values[index]
    if values.dtype.kind == "f":
        # JSON has no numbers that are not finite
        finite = np.isfinite(values)
        values = np.where(finite, values, None) if not finite.all() else values
    return {"instances": values.tolist(), "unit": pack.spec.unit}
