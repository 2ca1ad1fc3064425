"""Is any episode lost, doubled or torn when writers of a store are killed at random?

Eight writers, of which 100 are killed by SIGKILL, two readers and a compactor, which dies too, on
this machine's disk and on a server that speaks S3. No speed is measured. Ends with 1 if anything
was lost, doubled or torn. With ``AWS_ENDPOINT_URL`` in the environment and ``--only URL`` it storms
at a server of your own.
"""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Mapping
from contextlib import nullcontext

from benchmarks.harness import BenchmarkError, Command, Json, Options, Table, write_result
from benchmarks.s3_server import BUCKET, serving_s3

EVERY_S = {"local": 0.5, "s3": 1.0}
"""Between kills, so that a writer lives long enough to write."""


def run(options: Options) -> None:
    """Let it storm in each place and write the result.

    Raises:
        BenchmarkError: if anything was lost, doubled or torn.
    """
    places = options.names or ("local", "s3")
    found = {place: storm(options, place) for place in places}
    table = tabulate(found)
    print(table)
    write_result("store_kills", options, [table], found=found)
    wrong = [place for place, of_place in found.items() if any(faults(of_place).values())]
    if wrong:
        raise BenchmarkError(f"the store broke its promise: {', '.join(wrong)}")


def storm(options: Options, place: str) -> Json:
    """Return what was found after a storm in a place."""
    folder = options.out / "store_kills" / place.replace("/", "_")
    shutil.rmtree(folder, ignore_errors=True)
    url = {"local": str(folder / "store"), "s3": f"s3://{BUCKET}/{uuid.uuid4().hex}"}.get(
        place, f"{place}/{uuid.uuid4().hex}"
    )
    writers, kills = options.choose((8, 100), (3, 6))
    given = {
        "writers": writers,
        "kills": kills,
        "every-s": EVERY_S.get(place, EVERY_S["s3"]),
        "seed": (options.seeds or (0,))[0],
    }
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    with serving_s3() if place == "s3" else nullcontext(dict(os.environ)) as environment:
        command = [sys.executable, "-m", "benchmarks.store_storm", url, str(folder), *arguments]
        return Command(command, environment).run()


def faults(found: Json) -> dict[str, int]:
    """Return how much of what must not happen has happened."""
    return {
        "acknowledged episodes lost": len(found["lost"]),
        "episodes twice": len(found["twice"]),
        "episodes torn": len(found["torn"]),
        "looks of readers that saw any of these": len(found["wrong_looks"]),
        "shards corrupt or missing": len(found["verification"]["wrong"]),
        "shards left in the spool": found["spool_files_left"],
    }


def tabulate(found: Mapping[str, Json]) -> Table:
    """Return what was done and found in each place."""
    done = {
        "writers killed": lambda f: f["kills"],
        "compactors killed": lambda f: f["of_compactor"],
        "episodes acknowledged": lambda f: f["acknowledged"],
        "looks of readers": lambda f: f["looks"],
        "episodes that they compared": lambda f: f["episodes_seen"],
        "shards left unfinished by the dead": lambda f: f["verification"]["unfinished"],
    }
    rows = [[name, *(f"{of(f):,}" for f in found.values()), ""] for name, of in done.items()]
    counted = [faults(of_place) for of_place in found.values()]
    rows += [[name, *(str(of_place[name]) for of_place in counted), "0"] for name in counted[0]]
    return Table("Store in a storm of deaths", ["figure", *found, "must"], rows)
