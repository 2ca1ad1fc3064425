from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from troupe.core.arrays import ArraySpec
from troupe.core.errors import UserError
from troupe.episodes.recording import RecordingWriter, read_recording

SPECS = {
    "arm.angle": ArraySpec((2,), "rad", names=("a", "b")),
    "arm.contact": ArraySpec((), dtype=np.dtype(np.bool_)),
    "brain.spikes": ArraySpec((3, 2), dtype=np.dtype(np.int32)),
    "script.note": ArraySpec((), dtype=np.dtype(object)),
}


def sample(spec: ArraySpec, number: int) -> np.ndarray:
    if spec.dtype.hasobject:
        values: Any = np.empty(2, object)
        values[:] = [{"n": number, "list": [1, None]}, None]
        return values
    values = np.arange(2 * int(np.prod(spec.shape))).reshape(2, *spec.shape) + number
    return (values % 2 == 0) if spec.dtype == np.bool_ else values.astype(spec.dtype)


def test_what_was_written_in_several_parts_is_read_as_one(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "recording", SPECS)
    for number in range(5):
        for pack, spec in SPECS.items():
            writer.add(pack, 20 * number, sample(spec, number))
        if number % 2:
            writer.flush()
    writer.flush()
    read = read_recording(tmp_path / "recording")
    assert set(read) == set(SPECS)
    for pack, spec in SPECS.items():
        found = read[pack]
        assert found.time_ns.tolist() == [0, 20, 40, 60, 80]
        expected = np.stack([sample(spec, number) for number in range(5)])
        assert found.values.dtype == spec.dtype
        assert found.values.tolist() == expected.tolist()
        assert (found.spec.unit, found.spec.names) == (spec.unit, spec.names)
    assert not list((tmp_path / "recording").rglob("*.part"))


def test_a_row_is_one_instance_at_one_time_for_any_reader(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, {"arm.angle": SPECS["arm.angle"]})
    writer.add("arm.angle", 10, np.array([[0.1, 0.2], [0.3, 0.4]]))
    writer.flush()
    rows = duckdb.sql(f"select * from '{tmp_path}/arm.angle/*.parquet'").fetchall()
    assert rows == [(10, 0, [0.1, 0.2]), (10, 1, [0.3, 0.4])]


def test_many_bytes_are_written_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("troupe.episodes.recording.FLUSH_BYTES", 100)
    writer = RecordingWriter(tmp_path, {"arm.angle": SPECS["arm.angle"]})
    for number in range(10):
        writer.add("arm.angle", number, np.zeros((2, 2)))
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "arm.angle").mkdir()
    (tmp_path / "arm.angle" / "0.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"arm\.angle' cannot be read"):
        read_recording(tmp_path)


def test_no_recording_is_empty(tmp_path: Path) -> None:
    assert read_recording(tmp_path / "none") == {}
