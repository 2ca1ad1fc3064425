"""Runs the code of the documentation, so that what a reader copies works.

The blocks of a page run in order, in one fresh directory: python blocks as scripts, and of a
console block each line that starts with `$ troupe`. A block with a title (```yaml title="arm.yaml")
is written to that file instead; a file's name between two lines `--8<--` stands for its content. A
comment on the line before a block says what is special: `<!-- slow -->` runs it only with the slow
tests, `<!-- torch -->` only by `make check-torch`, `<!-- no-run: the reason -->` never.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- *(?P<marker>[^>]*?) *-->\n *)?"
    r"```(?P<language>\w+)(?P<options>[^\n`]*)\n(?P<code>.*?)^(?P=indent)``` *$",
    re.MULTILINE | re.DOTALL,
)
INCLUDED = re.compile(r"^--8<--\n([^\n]+)\n--8<--\n", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page, with the line where it starts."""

    place: str
    language: str
    title: str | None
    marker: str
    code: str

    def commands(self) -> list[list[str]]:
        """Return the command lines that run this block, none for one that only shows something."""
        if self.language == "python":
            return [[sys.executable, "-c", self.code]]
        if self.language == "console":
            lines = self.code.replace("\\\n", " ").splitlines()
            return [
                shlex.split(line[2:], comments=True)
                for line in lines
                if line.startswith("$ troupe ")
            ]
        return []


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    blocks = []
    for match in BLOCK.finditer(text):
        indent, code = match["indent"], match["code"]
        title = re.search(r'title="([^"]+)"', match["options"])
        blocks.append(
            Block(
                place=f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, match.start('code'))}",
                language=match["language"],
                title=title[1] if title else None,
                marker=match["marker"] or "",
                code=INCLUDED.sub(content, re.sub(f"^{indent}", "", code, flags=re.MULTILINE)),
            )
        )
    return blocks


def content(included: re.Match[str]) -> str:
    return (ROOT / included[1]).read_text(encoding="utf-8")


def run(blocks: list[Block], directory: Path) -> None:
    scripts = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks:
        if block.title:
            (directory / block.title).write_text(block.code, encoding="utf-8")
            continue
        for command in block.commands():
            done = subprocess.run(
                command, cwd=directory, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (
                f"{block.place}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
            )


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if not block.marker.startswith("no-run:")]


def has_code(blocks: list[Block]) -> bool:
    return any(block.commands() for block in blocks)


def fast(page: Path) -> list[Block]:
    return [block for block in runnable(page) if block.marker not in ("slow", "torch")]


def with_slow(page: Path) -> list[Block]:
    blocks = [block for block in runnable(page) if block.marker != "torch"]
    return blocks if any(block.marker == "slow" for block in blocks) else []


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if has_code(fast(page))], ids=name)
def test_code_of_page_runs(page: Path, tmp_path: Path) -> None:
    run(fast(page), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [page for page in PAGES if has_code(with_slow(page))], ids=name)
def test_code_of_page_runs_with_the_slow_blocks(page: Path, tmp_path: Path) -> None:
    run(with_slow(page), tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_markers_are_known_and_give_a_reason(page: Path) -> None:
    for block in blocks_of(page):
        assert re.fullmatch(r"|slow|torch|no-run: \S.*", block.marker), (
            f"{block.place}: marker '{block.marker}' is neither 'slow', 'torch' nor "
            "'no-run: the reason'"
        )
