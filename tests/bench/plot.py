# SPDX-License-Identifier: Apache-2.0
"""Draws the ratios of a run: one line a comparison, on a logarithmic scale.

    tests/bench/plot.py RUN.json > RUN.svg      of a file that --json kept
"""
import json
import math
import sys
from html import escape

LINE, LEFT, WIDE, RIGHT, TOP = 22, 560, 420, 70, 56
STEPS = [1 / 64, 1 / 16, 1 / 4, 1, 4, 16, 64]
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.soft { fill: #59636e } .grid { stroke: #d1d9e0 } .one { stroke: #59636e }
.met { fill: #0969da; stroke: #0969da } .missed { fill: none; stroke: #bc4c00 }
.plain { fill: #818b98; stroke: #818b98 }
.goal { stroke: #1f2328 } .back { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #3d444d }
.one { stroke: #9198a1 } .met { fill: #4493f8; stroke: #4493f8 }
.missed { stroke: #f0883e } .goal { stroke: #f0f6fc } .back { fill: #0d1117 } }
"""


def place(ratio):
    """Where a ratio is drawn, from left to right."""
    low, high = math.log(STEPS[0]), math.log(STEPS[-1])
    part = (math.log(max(ratio, 1e-9)) - low) / (high - low)
    return LEFT + WIDE * min(1, max(0, part))


def label(ratio):
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.2g}×"


def comparison(row, peer, y):
    ratio, goal = row.ratio(peer), row.targets.get(peer)
    kind = "plain" if goal is None else "met" if ratio >= goal else "missed"
    x, peer = place(ratio), peer.replace("\\|", "|")
    yield (f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(row.name)} '
           f'<tspan class="soft">against {escape(peer)}</tspan></text>')
    if goal:
        yield (f'<path class="goal" d="M{place(goal):.1f} {y - 7}v14"/>')
    yield (f'<circle class="{kind}" stroke-width="2" '
           f'cx="{x:.1f}" cy="{y}" r="5"/>')
    yield (f'<text class="soft" x="{LEFT + WIDE + 10}" y="{y + 4}">'
           f'{label(ratio)}</text>')


def scale(bottom):
    for step in STEPS:
        name = f"1/{1 / step:.0f}" if step < 1 else f"{step:.0f}"
        yield (f'<path class="{"one" if step == 1 else "grid"}" '
               f'd="M{place(step):.1f} {TOP - 8}V{bottom}"/>')
        yield (f'<text class="soft" x="{place(step):.1f}" y="{TOP - 14}" '
               f'text-anchor="middle">{name}</text>')


def svg(rows):
    pairs = [(row, peer) for row in rows for peer in row.peers]
    bottom = TOP + LINE * len(pairs)
    width, height = LEFT + WIDE + RIGHT, bottom + 12
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
           f'height="{height}" viewBox="0 0 {width} {height}" role="img" '
           f'aria-label="speed of registryfs against other tools">',
           f"<style>{STYLE}</style>",
           f'<rect class="back" width="{width}" height="{height}"/>',
           f'<text x="{LEFT}" y="20">times as fast as the other; a bar is the goal, '
           f'a ring misses it</text>', *scale(bottom)]
    for n, (row, peer) in enumerate(pairs):
        out += comparison(row, peer, TOP + LINE * n + LINE // 2)
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    from rows import Row
    with open(sys.argv[1]) as f:
        sys.stdout.write(svg([Row(**row) for row in json.load(f)]))
