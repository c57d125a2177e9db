#!/usr/bin/env python3
"""Measures what rtcast costs against the number of viewers, and prints a table and, with --svg, a plot.

Each point is a server of its own: N viewers of the film, counted for some seconds when all are there.
"""

import argparse
import importlib.util
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SPEC = importlib.util.spec_from_file_location("peers_run", os.path.join(HERE, "peers", "run.py"))
peers = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(peers)

WIDTH, HEIGHT, MARGIN = 360, 220, 48


def plot(left, title, unit, points, label):
    """One curve through points, from the origin, with its axes."""
    most_x = max(x for x, _ in points)
    most_y = max(y for _, y in points) * 1.1 or 1
    right, bottom = left + WIDTH - MARGIN - 12, HEIGHT - MARGIN

    def place(x, y):
        return left + MARGIN + x / most_x * (right - left - MARGIN), bottom - y / most_y * (bottom - 30)

    marks = [place(x, y) for x, y in points]
    lines = [f'<text x="{left + MARGIN}" y="18" class="t">{title}</text>',
             f'<path d="M{left + MARGIN} 30V{bottom}H{right}" class="a"/>',
             '<path d="M' + " L".join(f"{x:.1f} {y:.1f}" for x, y in marks) + '" class="c"/>']
    lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in marks]
    for share in (0.25, 0.5, 0.75, 1.0):
        x, y = most_x * share, most_y * share
        lines.append(f'<text x="{place(x, 0)[0]:.1f}" y="{bottom + 16}" class="x">{x:.0f}</text>')
        lines.append(f'<text x="{left + MARGIN - 6}" y="{place(0, y)[1] + 4:.1f}" class="y">{label(y)}</text>')
    lines.append(f'<text x="{(left + MARGIN + right) / 2:.0f}" y="{bottom + 34}" class="x">viewers</text>')
    lines.append(f'<text x="{left + MARGIN + 6}" y="38" class="u">{unit}</text>')
    return "\n".join(lines)


def svg(points):
    """Two plots side by side: the server's use of its core, and its memory."""
    cpu = [(0, 0)] + [(n, cost * n / 10) for n, cost, _ in points]
    memory = [(n, total / 1e6) for n, _, total in points]
    style = ("text{font:12px sans-serif;fill:#444}.t{font-weight:bold}.x{text-anchor:middle}.y{text-anchor:end}"
             ".a{fill:none;stroke:#888}.c{fill:none;stroke:#06c;stroke-width:2}circle{fill:#06c}")
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" width="{2 * WIDTH}" height="{HEIGHT}">',
        f"<style>{style}</style>",
        f'<rect width="{2 * WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        plot(0, "CPU of the server", "% of a core", cpu, lambda y: f"{y:.0f}"),
        plot(WIDTH, "memory of the server", "MB", memory, lambda y: f"{y:.0f}"),
        "</svg>\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", default="10,50,100,200,400,800")
    parser.add_argument("--film", default="film.mp4", help="film.mp4 (2.5 Mb/s) or film-600k.mp4")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rtcast", default=os.path.join(peers.ROOT, "target", "release", "rtcast"))
    parser.add_argument("--svg", help="the file for the plot")
    parser.add_argument("--json", help="a file for all reports")
    parser.add_argument("bench", nargs="*", help="more arguments for `rtcast bench viewers`, after --")
    options = parser.parse_args()
    command = [options.rtcast, "stream", peers.media(options.film), "--json", "--name", "film", "--listen",
               f"127.0.0.1:{peers.PORT}"]
    url = f"http://127.0.0.1:{peers.PORT}/film/whep"
    points, reports = [], []
    for count in map(int, options.counts.split(",")):
        report = peers.measure(options, command, url, count, options.bench)
        server = report["server"]
        points.append((count, server["cpu_ms_per_viewer_second"], server["memory"]))
        reports.append(report)
        print(f"{count} viewers: {points[-1][1]:.3f} ms", file=sys.stderr, flush=True)
    print("| Viewers | ms of CPU a viewer-second | a core | memory | packets lost | every picture received | delay, 99 % |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (count, cost, memory), report in zip(points, reports):
        delay = report["delay_ms"]["p99"] if report["delay_ms"] else float("nan")
        print(f"| {count} | {cost:.3f} | {cost * count / 10:.0f} % | {memory / 1e6:.0f} MB | {report['lost']} | "
              f"{'yes' if report['every_picture'] else 'no'} | {delay:.0f} ms |")
    if options.svg:
        with open(options.svg, "w", encoding="utf-8") as file:
            file.write(svg(points))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(reports, file)


if __name__ == "__main__":
    main()
