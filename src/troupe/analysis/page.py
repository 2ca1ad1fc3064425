"""The pieces of an HTML page that needs nothing but itself; all text is escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

CSS = """
:root { color-scheme: light dark; --ink: #1f2328; --quiet: #59636e; --page: #ffffff;
  --raised: #f6f8fa; --grid: #d9dce1; --accent: #0072b2; --warn: #9a4a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --quiet: #a0a8b2; --page: #14171b;
  --raised: #1d2126; --grid: #3a4047; --accent: #56b4e9; --warn: #f0a860; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; background: var(--page);
  color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .7rem; padding-top: .8rem;
  border-top: 1px solid var(--grid); }
p, li { max-width: 46rem; }
.quiet { color: var(--quiet); margin: .4rem 0 0; }
.tiles { display: grid; gap: .9rem; margin: 1.6rem 0;
  grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); }
.tile { background: var(--raised); border-radius: .5rem; padding: .9rem 1.1rem; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.3; color: var(--accent); }
.tile i { display: block; font-style: normal; color: var(--quiet); font-size: .88rem;
  line-height: 1.4; }
.missing { border-left: 4px solid var(--warn); background: var(--raised); padding: .7rem 1rem;
  margin: 1.2rem 0; }
.missing ul { margin: .3rem 0 0; padding-left: 1.2rem; }
.wide { overflow-x: auto; }
.side { display: flex; flex-wrap: wrap; gap: 1.4rem 3rem; align-items: flex-start;
  margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .38rem .9rem .38rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--grid); }
thead th { color: var(--quiet); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
td { overflow-wrap: break-word; }
figure { margin: 1.4rem 0 2rem; }
figure svg { width: 100%; min-width: 44rem; height: auto; display: block; }
figcaption { margin-bottom: .5rem; } figcaption span { color: var(--quiet); font-size: .9rem; }
summary { cursor: pointer; color: var(--accent); margin: .8rem 0; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .92em; }
@media print { details > * { display: block; } .tile, .missing { border: 1px solid var(--grid); } }
"""

Row = Sequence[str]


def text(value: object) -> str:
    """Return text that means itself in HTML."""
    return html.escape(str(value))


def paragraph(*sentences: str) -> str:
    """Return a paragraph of plain sentences."""
    return f"<p>{text(' '.join(sentences))}</p>"


def note(words: str) -> str:
    """Return a paragraph that stands back."""
    return f'<p class="quiet">{text(words)}</p>'


def heading(title: str, body: str) -> str:
    """Return a section."""
    return f"<section><h2>{text(title)}</h2>\n{body}</section>"


def table(header: Row, rows: Iterable[Row]) -> str:
    """Return a table whose rows begin with what they are about."""
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in header)
    body = "\n".join(
        f'<tr><th scope="row">{text(first)}</th>'
        + "".join(f"<td>{text(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    columns = f"<thead><tr>{head}</tr></thead>"
    return f'<div class="wide"><table>{columns}<tbody>\n{body}\n</tbody></table></div>'


def side_by_side(parts: Iterable[str]) -> str:
    """Return markup of parts beside each other, as many as there is room for."""
    return f'<div class="side">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def tiles(values: Iterable[tuple[str, str, str]]) -> str:
    """Return headline numbers, each a title, the number and what it means."""
    made = "\n".join(
        f'<div class="tile">{text(title)}<b>{text(number)}</b><i>{text(meaning)}</i></div>'
        for title, number, meaning in values
    )
    return f'<div class="tiles">\n{made}\n</div>'


def missing(lines: Sequence[str]) -> str:
    """Return a notice of what is not there; nothing if all is."""
    if not lines:
        return ""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f'<div class="missing">What is missing:<ul>{items}</ul></div>'


def details(title: str, body: str, is_open: bool = False) -> str:
    """Return a part that opens on demand."""
    return f"<details{' open' * is_open}><summary>{text(title)}</summary>{body}</details>"


def picture(title: str, words: str, svg: str) -> str:
    """Return a figure with its caption; `svg` is markup already."""
    caption = f"<figcaption><b>{text(title)}</b><br><span>{text(words)}</span></figcaption>"
    return f'<figure>{caption}<div class="wide">{svg}</div></figure>'


def page(title: str, body: str) -> str:
    """Return a whole document."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{CSS}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )
