"""Pages to print and pass on: no script, no request, whatever stands in a file shown as it is."""

import base64
import shlex
import warnings
from collections.abc import Callable, Sequence
from html import escape
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from helpers import plots, shown
from tools import command, files

Row = Sequence[tuple[str, str]]  # cells: a class of the style below, and a text
STYLE = """
@page { size: A4; margin: 14mm 15mm; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1a1a1a;
  background: #fff; max-width: 50rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .6rem; font-weight: 600; }
h2 { font-size: 1.05rem; margin: 1.3rem 0 .3rem; font-weight: 600; }
p { margin: .35rem 0; }
h1, p, li { overflow-wrap: anywhere; }
.said { font-size: 1.1rem; border-left: 5px solid #0072b2; padding: .3rem .8rem; }
.first { border: 2px solid #8b0000; padding: .4rem .8rem; margin: .6rem 0; }
.first ul { margin: .2rem 0; padding-left: 1.1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; }
caption { text-align: left; padding: .2rem 0; }
th, td { text-align: right; padding: .22rem .4rem; border-bottom: 1px solid #bbb;
  vertical-align: top; font-variant-numeric: tabular-nums; }
th { font-weight: 600; }
tbody th { font-weight: 400; }
th.text, td.text { text-align: left; overflow-wrap: anywhere; min-width: 4.5rem; }
td:nth-child(7).text { min-width: 9rem; }
td.number { white-space: nowrap; }
figure { margin: .6rem 0; }
img { max-width: 100%; height: auto; }
footer { margin-top: 1.2rem; border-top: 1px solid #777; font-size: .82rem;
  overflow-wrap: anywhere; }
@media print {
  body { font-size: 9.6pt; margin: 0; padding: 0; max-width: none; }
  .wide { overflow: visible; }
  table { font-size: 8.3pt; }
  img { max-height: 105mm; }
  .small img { max-height: 66mm; }
  tr, figure, .said, .first { break-inside: avoid; }
  h2, caption { break-after: avoid; }
}
"""


def page(title: str, parts: Sequence[str]) -> str:
    """The page as HTML, from its parts."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, parts))
        + "\n</main>\n</body>\n</html>\n"
    )


def figure(draw: Callable[[], tuple[Figure, str]]) -> str:
    """What a function draws, with its words; the same bytes in every run."""
    with (
        warnings.catch_warnings(),
        mpl.rc_context(plots.STYLED | {"svg.hashsalt": "report", "svg.fonttype": "path"}),
    ):
        warnings.filterwarnings("ignore", "Glyph")  # names stand in the table, too
        picture, alt = draw()
        drawn = BytesIO()
        picture.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(picture)
    data = base64.b64encode(drawn.getvalue()).decode("ascii")
    return f'<figure><img alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}"></figure>'


def call(name: str, path: Path, asked: dict[str, Any]) -> str:
    """A command as it would be typed, without the folder of the file."""
    options = [part for knob, value in asked.items() for part in _typed(knob, value)]
    return " ".join([f"python -m {name}", shlex.quote(path.name), *options])


def source(paths: Sequence[Path], typed: str, understood: str) -> str:
    """Where the numbers come from: what was understood, files, checksums, version, command."""
    try:
        version = metadata.version("segment-aware-ab-testing")
    except metadata.PackageNotFoundError:
        version = "unknown"
    sums = [(path, files.checksum(path)) for path in paths]
    file = " ".join(
        f"File {shown(path.name)}, {f'SHA-256 {checksum}' if checksum else 'a folder'}."
        for path, checksum in sums
    )
    made = f"segment-aware-ab-testing {version}: {shown(typed, 1000)}"
    said = "".join(f"<p>{escape(text)}</p>" for text in (understood, file, made))
    return f"<footer>{said}</footer>"


def _typed(name: str, value: Any) -> list[str]:
    """An option as it would be typed; none for a default that says nothing."""
    if name == "guardrail":
        ends = [(guard, ":lower" if guard.lower_is_better else "") for guard in value]
        return [
            f"--guardrail {shlex.quote(f'{guard.outcome}:{guard.margin!r}{end}')}"
            for guard, end in ends
        ]
    if value is None or value is False or value in ("", ()):
        return []
    if value is True:
        return [command.option(name)]
    text = ",".join(map(_as_typed, value)) if isinstance(value, tuple) else _as_typed(value)
    return [f"{command.option(name)} {shlex.quote(text)}"]


def _as_typed(value: object) -> str:
    """A value of an option; of a path the name of its file."""
    return value.name if isinstance(value, Path) else str(value)


def table(caption: str, heads: Sequence[str], rows: Sequence[Row]) -> str:
    """A table; the first cell of a row names it."""
    kinds = [kind for kind, _ in rows[0]]
    top = "".join(
        f'<th scope="col"{_class(kind)}>{escape(head)}</th>'
        for head, kind in zip(heads, kinds, strict=True)
    )
    body = ""
    for (kind, name), *cells in rows:
        body += f'<tr><th scope="row"{_class(kind)}>{escape(name)}</th>'
        body += (
            "".join(f"<td{_class(kind)}>{escape(text)}</td>" for kind, text in cells) + "</tr>\n"
        )
    label = escape(caption.split(".")[0])
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}"
        "</tbody></table></div>"
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
