"""Manifests: what makes a shard part of the store, and which shards a reader sees.

A shard counts from the moment when its manifest appears, which is written after it. A manifest may
replace others; it does so in the same moment. So whoever lists the manifests sees every episode
that was acknowledged, whatever died when:

- Before the manifest: the shard is garbage, its episodes were not acknowledged.
- After it: the shard is whole and its episodes are there.
- A writer that is started again adds nothing that is in its manifests. Should two shards hold the
  same episode after all (two processes under one name), the first in the order of names has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from troupe.core.errors import UserError

COMPACTED = "compacted"
"""The writer of shards that replace others."""
EXPERIMENT = re.compile(r"[\w.-]+")
"""Names of experiments, of which each is a file."""


@dataclass(frozen=True)
class Manifest:
    """About one shard.

    Attributes:
        name: ``<writer>.<sequence>.<digest>``, of the manifest and of its shard.
        sha256: of the shard; empty if there is none: a manifest that only takes others away.
        num_bytes: of the shard.
        episodes: ids, in the order of the rows.
        groups: rows of each row group, which can be read by itself.
        num_steps: of all episodes.
        num_images: of all episodes.
        schema: digest of the store's schema.
        written_s: when, seconds since 1970.
        ranges: least and greatest value of numbers in ``about``, by name.
        replaces: names of manifests that no longer count.
    """

    name: str
    sha256: str
    num_bytes: int
    episodes: tuple[str, ...]
    groups: tuple[int, ...]
    num_steps: int
    num_images: int
    schema: str
    written_s: float
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    replaces: tuple[str, ...] = ()

    @property
    def writer(self) -> str:
        """Who wrote it."""
        return self.name.split(".")[0]

    @property
    def sequence(self) -> int:
        """Which of its writer's it is, from 0."""
        return int(self.name.split(".")[1])

    @property
    def shard(self) -> str:
        """Name of the shard's file."""
        return shard_file(self.name)

    def to_bytes(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Return the manifest of JSON.

        Raises:
            ValueError: if it is none.
        """
        try:
            value: dict[str, Any] = json.loads(content)
            ranges = {name: (low, high) for name, (low, high) in value.pop("ranges").items()}
            episodes, replaces = tuple(value.pop("episodes")), tuple(value.pop("replaces"))
            groups = tuple(value.pop("groups"))
            value |= {"episodes": episodes, "groups": groups, "replaces": replaces}
            return cls(**value, ranges=ranges)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no manifest: {error}") from error


@dataclass(frozen=True)
class Shard:
    """A shard that counts.

    Attributes:
        manifest: of it.
        repeats: ids of its episodes that another shard has.
    """

    manifest: Manifest
    repeats: frozenset[str]

    @property
    def episodes(self) -> list[str]:
        """The ids that a reader finds here."""
        return [id for id in self.manifest.episodes if id not in self.repeats]


def shard_file(name: str) -> str:
    """Return the name of a shard's file."""
    return f"shards/{name}.parquet"


def manifest_file(name: str) -> str:
    """Return the name of a manifest's file."""
    return f"manifests/{name}.json"


def experiment_file(name: str) -> str:
    """Return the name of the file in which a store keeps an experiment of its episodes.

    Raises:
        UserError: if it cannot be one; what episodes say of themselves is anyone's.
    """
    if not EXPERIMENT.fullmatch(name):
        raise UserError(
            f"'{name}' is no name of an experiment in a store: letters, digits, '_', '.' and '-'."
        )
    return f"experiments/{name}.json"


def superseded(manifests: Iterable[Manifest]) -> set[str]:
    """Return the names of manifests that others replace."""
    return {name for manifest in manifests for name in manifest.replaces}


def live_shards(manifests: Iterable[Manifest]) -> list[Shard]:
    """Return the shards that count, by name, each episode in exactly one of them."""
    given = list(manifests)
    gone = superseded(given)
    seen: set[str] = set()
    shards = []
    for manifest in sorted(given, key=lambda m: m.name):
        if manifest.name in gone or not manifest.sha256:
            continue
        repeats = frozenset(id for id in manifest.episodes if id in seen)
        seen.update(manifest.episodes)
        shards.append(Shard(manifest, repeats))
    return shards
