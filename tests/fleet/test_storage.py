"""Runs at URLs: in a directory, in memory, and in S3 by the server of moto."""

import os
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.cli.conftest import troupe  # noqa: F401 - a fixture
from tests.cli.test_main import SET
from tests.conftest import bring_back, take_away, wait_until
from tests.fleet.test_training import assert_same_run
from troupe.core import TroupeError, UserError
from troupe.episodes.file_systems import shown_url
from troupe.fleet import mirror
from troupe.fleet.launch import run_training
from troupe.fleet.mirror import Mirror
from troupe.fleet.remote_runs import fetched, opened
from troupe.fleet.runs import RunDirectory, read_checkpoint
from troupe.fleet.storage import Storage, local_of, shown
from troupe.fleet.training import Training


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A machine's own cache; `another_machine` has another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def another_machine(tmp_path, monkeypatch):
    def move() -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / uuid.uuid4().hex))

    return move


@pytest.fixture(params=["file", "memory", "s3"])
def url(request, tmp_path):
    """Where a run of each kind of storage may be written."""
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/run"
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}/run"
    return f"file://{tmp_path}/shared/run"


def stop_after(training: Training, updates: int):
    return lambda row: row["update"] == updates and training.stop_requested.set()


def train(url: str, experiment, *, resume: bool = False, **options) -> dict:
    with opened(url, resume=resume) as path:
        return run_training(experiment, path, resume=resume, **options)


def test_a_run_at_a_url_goes_on_elsewhere_bitwise(url, small, tmp_path, another_machine):
    experiment = small(steps=2048)
    run_training(experiment, tmp_path / "whole")
    with opened(url) as path:
        training = Training(experiment)
        training._report = stop_after(training, 3)
        assert training.train(RunDirectory.create(path, experiment)) == "interrupted"
        training.close()
    assert not path.exists()
    another_machine()
    train(url, experiment, resume=True)
    another_machine()
    with fetched(url) as copy:
        assert copy.name == "run"
        assert_same_run(tmp_path / "whole", copy)
        whole, joined = (pq.read_table(p / "episodes") for p in (tmp_path / "whole", copy))
        assert joined.equals(whole)
        assert len(list((copy / "tensorboard").iterdir())) == 2
        assert "stopped after 2048 steps" in (copy / "run.log").read_text()
    assert not [name for name in Storage(url).files() if name.endswith(".part")]


def test_what_is_there_is_replaced_only_by_force(url, small):
    train(url, small(steps=512))
    with pytest.raises(UserError, match=r"/run' exists; choose another --out, or --force"):
        train(url, small(steps=256))
    with opened(url, force=True) as path:
        run_training(small(steps=256), path, force=True)
    names = [name for name in Storage(url).files() if name.startswith("checkpoints/")]
    assert {Path(name).parent.name for name in names} == {f"{256:012d}"}


def test_force_does_not_replace_what_is_no_run(url):
    storage = Storage(url)
    storage.check_writable()
    thesis = local_of(url).parent / "thesis.tex"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years of work")
    storage.put(thesis, "thesis.tex")
    with (
        pytest.raises(UserError, match=r"without config\.yaml, so --force won't replace it"),
        opened(url, force=True),
    ):
        raise AssertionError
    assert storage.read("thesis.tex") == b"years of work"


def test_what_is_there_stays_if_the_new_experiment_is_wrong(url, small):
    train(url, small(steps=512))
    before = Storage(url).files()
    with (
        pytest.raises(UserError, match=r"learner\.batch"),
        opened(url, force=True) as path,
    ):
        run_training(small("fleet.instances=15"), path, force=True)
    assert Storage(url).files() == before


def test_nothing_is_at_a_url(url, small):
    with pytest.raises(UserError, match="there is no run at"), fetched(url):
        raise AssertionError
    with pytest.raises(UserError, match="there is no run at"):
        train(url, small(), resume=True)


class DyingStorage(Storage):
    """Storage whose writer dies after so many files."""

    left: int

    def put(self, file: Path, name: str) -> None:
        self._count()
        super().put(file, name)

    def remove(self, name: str) -> None:
        self._count()
        super().remove(name)

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_copying_that_ends_anywhere_leaves_a_whole_checkpoint(small, tmp_path):
    url, shared, before = f"file://{tmp_path}/shared", tmp_path / "shared", tmp_path / "before"
    train(url, small(steps=512))
    shutil.copytree(shared, before)
    found = []
    with opened(url, resume=True) as local:
        known = mirror.file_states(local)
        run_training(small(steps=1024), local, resume=True)
        for left in range(100):
            shutil.rmtree(shared)
            shutil.copytree(before, shared)
            storage = DyingStorage(url)
            storage.left = left
            try:
                Mirror(local, storage, known=known).copy()
            except KeyboardInterrupt:
                is_dead = True
            else:
                is_dead = False
            with fetched(url) as copy:
                checkpoint = read_checkpoint(RunDirectory.open(copy).latest_checkpoint())
                assert checkpoint.groups["learner"]
                steps = RunDirectory.open(copy).read_table("metrics.parquet")["steps"]
                found.append(int(checkpoint.path.name))
                assert steps[-1] >= found[-1]
            if not is_dead:
                break
    assert found == sorted(found)
    assert set(found) == {512, 1024}
    assert len(found) > 10


def test_a_checkpoint_that_is_not_complete_is_not_used(url, small, another_machine):
    train(url, small(steps=512))
    train(url, small(steps=1024), resume=True)
    storage = Storage(url)
    newest = max(name for name in storage.files() if name.endswith("checkpoint.json"))
    storage.remove(newest)
    another_machine()
    # there is an older one only if it was kept: copies of two are
    with fetched(url) as copy:
        assert RunDirectory.open(copy).latest_checkpoint().name == f"{512:012d}"


def test_storage_that_goes_away_does_not_stop_a_run(small, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "UPLOAD_EVERY_S", 0.05)
    monkeypatch.setattr(mirror, "LONGEST_PAUSE_S", 0.1)
    shared, rows = tmp_path / "shared", []

    def cut(row: dict[str, float]) -> None:
        rows.append(row)
        if row["update"] == 2:
            wait_until((shared / "run" / "run.log").is_file)
            take_away(shared)
        if row["update"] == 4:
            log = local_of(url) / "run.log"
            wait_until(lambda: "cannot be written, trying again" in log.read_text())
        if row["update"] == 6:
            bring_back(shared)

    url = f"file://{shared}/run"
    train(url, small(steps=2048), report=cut)
    assert len(rows) == 8
    log = (shared / "run" / "run.log").read_text()
    assert "cannot be written, trying again: " in log
    assert f"{url} can be written again, after " in log
    run_training(small(steps=2048), tmp_path / "calm")
    assert_same_run(tmp_path / "calm", shared / "run")


def test_a_run_that_cannot_be_copied_is_kept_here_and_goes_on_from_that(
    small, tmp_path, monkeypatch
):
    monkeypatch.setattr(mirror, "LAST_UPLOAD_WITHIN_S", 0.5)
    shared, url = tmp_path / "shared", f"file://{tmp_path}/shared/run"

    def cut(row: dict[str, float]) -> None:
        if row["update"] == 1:
            shutil.rmtree(shared, ignore_errors=True)
            shared.write_text("no directory")

    local = local_of(url)
    with pytest.raises(TroupeError, match=f"All of the run is in '{local}'") as failure:
        train(url, small(steps=2048), report=cut)
    assert failure.value.exit_code == 1
    assert int(RunDirectory.open(local).latest_checkpoint().name) == 2048
    shared.unlink()
    train(url, small(steps=2048), resume=True)
    assert not local.exists()
    run_training(small(steps=2048), tmp_path / "whole")
    assert_same_run(tmp_path / "whole", shared / "run")


def test_what_waits_here_is_not_mixed_with_another_run(small, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "LAST_UPLOAD_WITHIN_S", 0.1)
    shared, url = tmp_path / "shared", f"file://{tmp_path}/shared/run"

    def cut(row: dict[str, float]) -> None:
        shutil.rmtree(shared, ignore_errors=True)
        shared.write_text("no directory")

    with pytest.raises(TroupeError, match="All of the run is in"):
        train(url, small(steps=256), report=cut)
    shared.unlink()
    run_training(small(steps=512), shared / "run")
    with pytest.raises(UserError, match="there is another one by now"):
        train(url, small(steps=1024), resume=True)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s4://bucket/run", "unknown protocol 's4'. Valid: abfs, "),
        ("file:///proc/run", "'file:///proc/run' cannot be written: "),
        ("memory://", "give the URL of a directory"),
        ("memory://a/../b", "give the URL of a directory"),
    ],
)
def test_places_that_cannot_be_are_refused_before_anything_starts(place, message, tmp_path):
    with pytest.raises(UserError, match=message.replace(".", r"\.")), opened(place):
        raise AssertionError
    assert not (tmp_path / "cache").exists()


def test_a_bucket_that_is_not_there_is_refused(s3):
    with pytest.raises(UserError, match=r"'s3://no-such/run' cannot be written: .*bucket"):
        opened("s3://no-such/run").__enter__()
    with pytest.raises(UserError, match=r"'s3://no-such/run' cannot be read: .*bucket"):
        fetched("s3://no-such/run").__enter__()


def test_credentials_that_are_not_there_are_named(s3, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UserError, match="cannot be written: NoCredentialsError"):
        opened(f"{s3}/run").__enter__()


def test_a_protocol_that_is_not_installed_names_the_extra():
    program = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from troupe.fleet.storage import Storage; Storage('s3://bucket/run')"
    )
    failed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "UserError: 's3://bucket/run' cannot be reached: pip install 'troupe[s3]'." in (
        failed.stderr
    )


def test_passwords_are_not_shown():
    assert shown_url("sftp://me:secret@host/runs/a/") == "sftp://me@host/runs/a"
    assert shown(local_of("sftp://me:secret@host/runs/a")) == "sftp://me@host/runs/a"
    assert shown(local_of("file:///runs/a")) == "file:///runs/a"
    assert shown(Path("runs/a")) == "runs/a"


@pytest.mark.slow
def test_a_killed_run_is_brought_back_from_storage_exactly(small, tmp_path, s3, another_machine):
    experiment = tmp_path / "long.yaml"
    settings = small("fleet.checkpoint_every=200ms", steps=40_960)
    experiment.write_text(yaml.safe_dump(settings.resolved()))
    url = f"{s3}/run"
    command = [sys.executable, "-m", "troupe", "train", str(experiment), "--out", url]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: any(n.endswith("checkpoint.json") for n in Storage(url).files()))
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    another_machine()
    train(url, settings, resume=True)
    run_training(settings, tmp_path / "calm")
    with fetched(url) as copy:
        assert "from step 0 to" not in (copy / "run.log").read_text().splitlines()[-3]
        assert_same_run(tmp_path / "calm", copy)


@pytest.mark.slow
def test_commands_take_urls(
    troupe,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    monkeypatch.chdir(tmp_path)
    url = f"file://{tmp_path}/shared/run"
    code, out, err = troupe("train", "scara-reach", *SET, "--out", url)
    assert code == 0, err
    assert f"report: {url}/report.html" in err.replace("\n", "")
    assert (tmp_path / "shared/run/report.html").is_file()
    code, out, err = troupe("train", "--resume", url, "--set", "steps=1024", "--json")
    assert code == 0, err
    assert f'"run": "{url}"' in out
    for words in (["evaluate", url, "--episodes", "5"], ["compare", url, url]):
        code, out, err = troupe(*words)
        assert code == 0, err
    code, out, err = troupe("report", url)
    assert (code, "give --out" in err) == (2, True)
    assert troupe("report", url, "--out", "page.html")[0] == 0
    assert Path("page.html").is_file()
    assert troupe("train", "--resume", f"{url}/nothing")[0] == 2
    assert not list((tmp_path / "cache").rglob("config.yaml"))
