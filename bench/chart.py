"""``results.svg``: bars of CPU per message, one panel a row, all on one logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.report import number
from bench.results import Results
from bench.rows import Row
from bench.systems import System

#: The rows that are drawn first, when they were measured.
PANELS = ("fanout-1000", "paced", "fanin", "fanout-100", "fanin-confirmed")
MAX_PANELS = 3

_WIDTH, _LABELS, _VALUES = 860, 190, 70
_BAR, _GAP, _HEAD, _FOOT, _MARGIN = 18, 8, 40, 34, 20
_OURS, _OTHERS = "#0b7a75", "#a9b4c2"
_STYLE = """text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 13px; fill: #1f2933; }
.title { font-weight: 600; font-size: 15px; }
.small { font-size: 11px; fill: #616e7c; }
.ours { font-weight: 600; }"""


def draw(results: Results, rows: Sequence[Row], systems: Sequence[System]) -> str:
    """The whole file; a panel has the systems that were measured, cheapest first."""
    named = {row.name: row for row in rows}
    names = [*PANELS, *(name for name in named if name not in PANELS)]
    panels = [(named[name], _bars(results, name, systems)) for name in names if name in named]
    panels = [(row, bars) for row, bars in panels if bars][:MAX_PANELS]
    values = [value for _, bars in panels for value, _ in bars] or [1.0]
    decades = math.floor(math.log10(min(values))), math.floor(math.log10(max(values))) + 1
    parts = []
    top = _MARGIN
    for row, bars in panels:
        text, height = _panel(row.title, bars, top, decades)
        parts += text
        top += height
    height = top + _MARGIN // 2
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} '
            f'{height}" role="img" aria-label="Server CPU per message">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _bars(results: Results, row: str, systems: Sequence[System]) -> list[tuple[float, System]]:
    found = [(results.median(row, system.name, "us"), system) for system in systems]
    return sorted(((value, system) for value, system in found if value is not None), key=lambda bar: bar[0])


def _panel(title: str, bars: list[tuple[float, System]], top: int, decades: tuple[int, int]) -> tuple[list[str], int]:
    low, high = decades
    span = _WIDTH - _LABELS - _VALUES - 2 * _MARGIN
    left = _MARGIN + _LABELS

    def x(value: float) -> float:
        return left + span * (math.log10(value) - low) / (high - low)

    bottom = top + _HEAD + len(bars) * (_BAR + _GAP)
    parts = [
        f'<text class="title" x="{_MARGIN}" y="{top + 18}">{escape(title)}</text>',
        f'<text class="small" x="{_WIDTH - _MARGIN}" y="{top + 18}" text-anchor="end">'
        "server CPU per message, µs, logarithmic; shorter is better</text>",
    ]
    for decade in range(low, high + 1):
        at = x(10.0**decade)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top + _HEAD - 8}" y2="{bottom}" stroke="#e4e7eb"/>')
        parts.append(f'<text class="small" x="{at:.1f}" y="{bottom + 14}" text-anchor="middle">{10.0**decade:g}</text>')
    for index, (value, system) in enumerate(bars):
        y = top + _HEAD + index * (_BAR + _GAP)
        ours = system.name.startswith("wsgw")
        style = ' class="ours"' if ours else ""
        fill = _OURS if ours else _OTHERS
        parts.append(f'<text{style} x="{left - 10}" y="{y + 13}" text-anchor="end">{escape(system.title)}</text>')
        parts.append(
            f'<rect x="{left}" y="{y}" width="{max(2.0, x(value) - left):.1f}" height="{_BAR}" rx="2" fill="{fill}"/>'
        )
        parts.append(f'<text{style} x="{x(value) + 6:.1f}" y="{y + 13}">{number(value)}</text>')
    return parts, _HEAD + len(bars) * (_BAR + _GAP) + _FOOT
