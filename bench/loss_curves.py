#!/usr/bin/env python3
"""Loss curves of runs that differ in one setting, over the same seeds: a table in Markdown and a chart in SVG.

usage: bench/loss_curves.py [--stage N] [--window N] [--out FILE.svg] NAME=RUN,RUN,... NAME=RUN,RUN,...

Each NAME has one run folder per seed, in the same order of seeds; later names may have fewer. The first NAME is the
reference: runs of one seed see the same images and random numbers, so their losses are compared pairwise. Scatter is the
standard deviation over seeds.
"""
import argparse
import json
import math
import pathlib

COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777"]
WIDTH, HEIGHT, LEFT, RIGHT, TOP = 780, 510, 64, 200, 16


def losses(run, stage):
    found = {}
    for line in (pathlib.Path(run) / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row.get("stage") == stage and "loss" in row:
            found[row["update"]] = row["loss"]
    return [found[i] for i in sorted(found)]


def mean(values):
    return sum(values) / len(values)


def deviation(values):
    if len(values) < 2:
        return float("nan")
    centre = mean(values)
    return math.sqrt(sum((v - centre) ** 2 for v in values) / (len(values) - 1))


def windows(curve, size):
    return [mean(curve[i:i + size]) for i in range(0, len(curve) - size + 1, size)]


def table(names, curves, size):
    ends = range(size, len(curves[names[0]][0]) + 1, size)
    print("| setting | seeds | " + " | ".join(f"updates {e - size + 1}–{e}" for e in ends) + " | last window, minus the first row's |")
    print("|---" * (len(ends) + 3) + "|")
    reference = [windows(c, size) for c in curves[names[0]]]
    for name in names:
        rows = [windows(c, size) for c in curves[name]]
        cells = [f"{mean([r[k] for r in rows]):.4f} ± {deviation([r[k] for r in rows]):.4f}" for k in range(len(ends))]
        apart = [r[-1] - f[-1] for r, f in zip(rows, reference)]
        last = "" if name == names[0] else f"{mean(apart):+.4f} ± {deviation(apart):.4f}"
        print(f"| {name} | {len(rows)} | " + " | ".join(cells) + f" | {last} |")


def smooth(name, curves, size):
    """The mean over runs of each window."""
    rows = [windows(c, size) for c in curves[name]]
    return [mean([r[k] for r in rows]) for k in range(len(rows[0]))]


def nice_step(width):
    """1, 2 or 5 times a power of ten: about five of them in the width."""
    power = 10 ** math.floor(math.log10(width / 5))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= width / 5)


class Panel:
    """Lines over the updates, between two heights of the chart."""

    def __init__(self, top, height, low, high, count, label):
        self.top, self.height, self.low, self.high, self.count, self.label = top, height, low, high, count, label

    def x(self, update):
        return LEFT + (WIDTH - LEFT - RIGHT) * update / self.count

    def y(self, value):
        return self.top + self.height * (self.high - value) / (self.high - self.low)

    def axes(self):
        step = nice_step(self.high - self.low)
        first = math.ceil(self.low / step)
        out = []
        for k in range(first, math.floor(self.high / step) + 1):
            at = self.y(k * step)
            out.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="{"#999999" if k == 0 else "#dddddd"}"/>')
            out.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{k * step:.3g}</text>')
        for k in range(0, self.count + 1, max(1, self.count // 5)):
            out.append(f'<text x="{self.x(k):.1f}" y="{self.top + self.height + 18}" text-anchor="middle">{k}</text>')
        middle = self.top + self.height / 2
        out.append(f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{self.label}</text>')
        return out

    def line(self, values, size, style):
        points = " ".join(f"{self.x((k + 0.5) * size):.1f},{self.y(v):.1f}" for k, v in enumerate(values))
        return f'<polyline points="{points}" fill="none" {style}/>'


def style_of(i):
    dash = "" if i % 2 == 0 else ' stroke-dasharray="6 3"'
    return f'stroke="{COLOURS[i % len(COLOURS)]}" stroke-width="2"{dash}'


def chart(path, names, curves, size):
    """Above: the losses. Below: what differs from the first name's, in wider windows."""
    wide = 2 * size
    losses_of = {n: smooth(n, curves, size) for n in names}
    pairs = {n: [[v - w for v, w in zip(windows(c, wide), windows(r, wide))] for c, r in zip(curves[n], curves[names[0]])]
             for n in names}
    apart = {n: [mean(list(column)) for column in zip(*pairs[n])] for n in names}
    count = len(curves[names[0]][0])
    most = max(max(map(abs, apart[n])) for n in names) * 1.1 or 1
    above = Panel(TOP, 240, 0, max(max(v) for v in losses_of.values()) * 1.02, count, "loss")
    below = Panel(TOP + 290, 160, -most, most, count, f"loss minus {names[0]}'s")
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *above.axes(), *below.axes()]
    for i, name in enumerate(names):
        out.append(above.line(losses_of[name], size, style_of(i)))
        out.append(below.line(apart[name], wide, style_of(i)))
        row = TOP + 14 + 20 * i
        out.append(f'<path d="M{WIDTH - RIGHT + 12} {row - 4}h24" {style_of(i)}/>')
        out.append(f'<text x="{WIDTH - RIGHT + 42}" y="{row}">{name}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">update</text></svg>\n')
    pathlib.Path(path).write_text("\n".join(out))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN,RUN")
    parser.add_argument("--stage", type=int, default=1)
    parser.add_argument("--window", type=int, default=100, help="updates per column of the table")
    parser.add_argument("--out", help="chart")
    args = parser.parse_args()
    names, curves = [], {}
    for item in args.runs:
        name, _, folders = item.partition("=")
        names.append(name)
        curves[name] = [losses(f, args.stage) for f in folders.split(",")]
    lengths = {len(c) for cs in curves.values() for c in cs}
    if len(lengths) != 1 or 0 in lengths:
        parser.error(f"the runs have {sorted(lengths)} updates")
    if any(len(cs) > len(curves[names[0]]) for cs in curves.values()):
        parser.error("a name has more runs than the first")
    table(names, curves, args.window)
    if args.out:
        chart(args.out, names, curves, max(1, args.window // 10))


if __name__ == "__main__":
    main()
