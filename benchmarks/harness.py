"""What the benchmarks share: options, commands, rounds in turn, ratios, tables and results."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from troupe.core.files import write_atomic
from troupe.fleet.runs import provenance

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "peers"
MACHINE = ("cpu", "cores", "python", "versions", "git")

K = TypeVar("K")
T = TypeVar("T")
Json = dict[str, Any]
Peer = Literal["sb3", "rllib", "pybullet"]


class BenchmarkError(Exception):
    """A benchmark cannot be run, or what it measures went wrong."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for; a benchmark ignores what does not concern it.

    Attributes:
        out: directory for results and runs.
        command: to reproduce the results with.
        quick: whether to take seconds, to see that all works; the figures mean nothing then.
        rounds: how often each contender has its turn; None for the benchmark's own number.
        seeds: None for the benchmark's own.
        names: of the benchmark's parts, None for all.
        force: whether to measure anew what an earlier run has finished.
    """

    out: Path
    command: str
    quick: bool = False
    rounds: int | None = None
    seeds: tuple[int, ...] | None = None
    names: tuple[str, ...] | None = None
    force: bool = False

    def result(self, benchmark: str) -> Path:
        """Return where a benchmark's result is, or will be."""
        return self.out / f"{benchmark}.json"

    def parts(self, valid: Sequence[str], quick: Sequence[str]) -> Sequence[str]:
        """Return the parts of a benchmark that were named, or else all, or those for a quick run.

        Raises:
            BenchmarkError: if there is no such part.
        """
        for name in self.names or ():
            if name not in valid:
                raise BenchmarkError(f"no part '{name}'; valid: {', '.join(valid)}")
        return self.choose(valid, quick, self.names)

    def choose(self, full: T, quick: T, given: T | None = None) -> T:
        """Return what was given, or else what suits a full or a quick run."""
        if given is not None:
            return given
        return quick if self.quick else full


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1])

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.low)}–{short(self.high)})"


@dataclass(frozen=True)
class Table:
    """Rows of texts under a header, printed as Markdown."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        lines = [self.header, ["-" * width for width in widths], *self.rows]
        shown = [
            " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
            for line in lines
        ]
        return "\n".join([f"\n{self.title}\n", *(f"| {line} |" for line in shown)])


@dataclass(frozen=True)
class Command:
    """A command that prints one JSON object and nothing else on standard output."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def on_core(self, core: int) -> Command:
        """Return the same command, bound to one core."""
        return Command(["taskset", "--cpu-list", str(core), *self.arguments], self.environment)

    def __str__(self) -> str:
        return shlex.join(self.arguments).replace(f"{ROOT}/", "")

    def run(self) -> Json:
        """Run it alone and return what it prints."""
        return run_together([self])[0]


def train(source: Sequence[str], out: Path, settings: Mapping[str, Any]) -> Command:
    """Return ``troupe train`` for an experiment's name, or ``--env ID``."""
    given = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    return troupe("train", *source, *given, "--out", str(out), "--force", "--json")


def troupe(*arguments: str) -> Command:
    """Return a command of Troupe."""
    return Command([sys.executable, "-m", "troupe", *arguments])


def train_peer(peer: Peer, env: str, options: Mapping[str, Any]) -> Command:
    """Return the training script of a peer, with its options by name.

    Raises:
        BenchmarkError: if the peer is not installed.
    """
    return peer_script(peer, "train.py", {"env": env, **options}, "--json")


def peer_script(peer: Peer, name: str, options: Mapping[str, Any], *flags: str) -> Command:
    """Return a script in a peer's folder, run by the peer's own Python.

    Raises:
        BenchmarkError: if the peer is not installed.
    """
    python = PEERS / peer / ".venv" / "bin" / "python"
    if not python.exists():
        script = (PEERS / "install.sh").relative_to(ROOT)
        raise BenchmarkError(f"{peer} is not installed: sh {script} {peer}")
    given = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    arguments = [str(python), str(PEERS / peer / name), *given, *flags]
    return Command(arguments, {"PYTHONPATH": str(ROOT)})


def run_together(commands: Sequence[Command]) -> list[Json]:
    """Run commands at the same time and return what they print.

    Raises:
        BenchmarkError: if one of them fails.
    """
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            for i, command in enumerate(commands):
                progress(f"  {command}")
                # files, since a full pipe would stop a process while another is read
                with (folder / f"{i}.out").open("wb") as out, (folder / f"{i}.err").open("wb") as e:
                    env = {**os.environ, **command.environment}
                    processes.append(
                        subprocess.Popen(command.arguments, stdout=out, stderr=e, cwd=ROOT, env=env)
                    )
            codes = [process.wait() for process in processes]
        finally:
            for process in processes:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        for i, (command, code) in enumerate(zip(commands, codes, strict=True)):
            if code:
                said = (folder / f"{i}.err").read_text(errors="replace")[-2000:]
                raise BenchmarkError(f"'{command}' ended with {code}:\n{said}")
        return [json.loads((folder / f"{i}.out").read_text()) for i in range(len(commands))]


def in_turn(contenders: Mapping[K, Callable[[], T]], rounds: int) -> dict[K, list[T]]:
    """Measure each contender in each round: A, B, A, B, ..."""
    results: dict[K, list[T]] = {name: [] for name in contenders}
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for name, measure in contenders.items():
            results[name].append(measure())
    return results


def ratio(values: Sequence[float], references: Sequence[float]) -> Spread:
    """Return the ratios of the same rounds."""
    return Spread.of(a / b for a, b in zip(values, references, strict=True))


def short(value: float) -> str:
    """Return a number with three significant digits or more, e.g. 54,321 and 0.0123."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def progress(text: str) -> None:
    """Tell on standard error what is being done."""
    print(f"[{datetime.now():%H:%M:%S}] {text}", file=sys.stderr, flush=True)


def write_result(name: str, options: Options, tables: Sequence[Table] = (), **found: Any) -> None:
    """Write a benchmark's result, with all that a reader needs to judge and repeat it."""
    result = {
        "benchmark": name,
        **_now(),
        "command": options.command,
        "quick": options.quick,
        "tables": [vars(table) for table in tables],
        **found,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    write_atomic(options.result(name), text + "\n")


class Records:
    """Measurements of a long benchmark by key, kept in its result as they come.

    One that an earlier run has finished is not made again; it tells of its own date and machine.
    """

    def __init__(self, name: str, options: Options) -> None:
        self._name, self._options = name, options
        self._records: dict[str, Json] = {}
        path = options.result(name)
        if path.is_file():
            self._records = json.loads(path.read_text())["records"]

    def get(self, key: str, measure: Callable[[], Json]) -> Json:
        """Return the record of a key, measured now if there is none yet."""
        record = self._records.get(key)
        if record is None or self._options.force:
            progress(f"{self._name}: {key}")
            record = self._records[key] = {**_now(), **measure()}
            self.write()
        else:
            progress(f"{self._name}: {key}: kept from {record['date']}, {record['machine']['git']}")
        return record

    def known(self, key: str) -> Json | None:
        """Return the record of a key, if there is one."""
        return self._records.get(key)

    def write(self, tables: Sequence[Table] = ()) -> None:
        """Write all records, and the tables made of them."""
        write_result(self._name, self._options, tables, records=self._records)


def _now() -> Json:
    """Return when and where something is measured."""
    about = provenance(seed=0)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"date": date, "machine": {key: about[key] for key in MACHINE}}
