from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from troupe.core.arrays import ArraySpec
from troupe.core.errors import TroupeError, UserError
from troupe.episodes.recording import RecordingWriter, read_recording

SPECS = {
    "arm.angle": ArraySpec((2,), "rad", names=("a", "b")),
    "arm.contact": ArraySpec((), dtype=np.dtype(np.bool_)),
    "brain.spikes": ArraySpec((3, 2), dtype=np.dtype(np.int32)),
    "script.note": ArraySpec((), dtype=np.dtype(object)),
    "script.none": ArraySpec((0, 2)),
    "leg/left.50%/angle": ArraySpec(()),
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


def test_json_is_kept_as_it_was(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, {"script.note": SPECS["script.note"]})
    note = np.array([{"n": 0}], object)
    for number in range(3):
        note[0]["n"] = number
        writer.add("script.note", number, note.copy())
    writer.flush()
    notes = read_recording(tmp_path)["script.note"].values[:, 0].tolist()
    assert notes == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_what_cannot_be_json_is_named(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, {"script.note": SPECS["script.note"]})
    with pytest.raises(UserError, match=r"script.note: its value cannot be recorded as JSON: keys"):
        writer.add("script.note", 0, np.array([{(1, 2): 3}], object))


def test_a_recording_that_cannot_be_written_is_told_and_what_was_written_is_kept(
    tmp_path: Path,
) -> None:
    specs = {"arm.angle": SPECS["arm.angle"], "arm.other": SPECS["arm.angle"]}
    writer = RecordingWriter(tmp_path, specs)
    (tmp_path / "arm.other").write_text("in the way")
    for pack in specs:
        writer.add(pack, 0, np.zeros((2, 2)))
    with pytest.raises(TroupeError, match=r"cannot be written: File exists. What was written bef"):
        writer.flush()
    assert list(read_recording(tmp_path)) == ["arm.angle"]


def test_a_folder_of_a_run_that_ended_while_it_wrote_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "arm.angle").mkdir()
    assert read_recording(tmp_path) == {}


def test_json_lists_of_one_length_are_values_too(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, {"script.note": SPECS["script.note"]})
    values: Any = np.empty(2, object)
    values[0], values[1] = [1, 2], [3, 4]
    writer.add("script.note", 0, values)
    writer.flush()
    assert read_recording(tmp_path)["script.note"].values.tolist() == [[[1, 2], [3, 4]]]
