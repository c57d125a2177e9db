#!/usr/bin/env python3
"""Gives rtcast and its peers the same job in turn and prints a Markdown table of what it cost each.

Every server streams the same film from a program of its own, and `rtcast bench viewers` watches it. Rounds go through all
servers before the next begins, so that what else the machine does falls on all of them alike; the median of each is shown.
"""

import argparse
import json
import os
import platform
import select
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MEDIA = os.path.join(ROOT, "benches", "media")
PORT = 9300


def media(name):
    return os.path.join(MEDIA, name)


def servers(options):
    """Name, command and WHEP endpoint of each server."""
    built = os.path.join(os.path.abspath(options.peers), "peer-")
    whep = f"http://127.0.0.1:{PORT}/whep"
    rtcast = [options.rtcast, "stream", media("film.mp4"), "--json", "--name", "film", "--listen", f"127.0.0.1:{PORT}"]
    python = os.path.join(HERE, "aiortc", ".venv", "bin", "python")
    return {
        "rtcast": (rtcast, f"http://127.0.0.1:{PORT}/film/whep"),
        "str0m + GSO": ([built + "str0m", media("film.h264"), str(PORT), "gso"], whep),
        "str0m": ([built + "str0m", media("film.h264"), str(PORT)], whep),
        "webrtc-rs": ([built + "webrtc-rs", media("film.h264"), str(PORT)], whep),
        "libdatachannel": ([built + "libdatachannel", media("film.h264"), str(PORT)], whep),
        "aiortc": ([python, os.path.join(HERE, "aiortc", "server.py"), media("film.ts"), str(PORT)], whep),
    }


def start(command):
    """Starts a server and waits until it says that it is ready."""
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([server.stdout], [], [], 0.2)[0]:
            line = server.stdout.readline()
            if b"ready" in line:
                return server
        if server.poll() is not None:
            break
    server.kill()
    raise RuntimeError(f"{command[0]} does not start")


def stop(server):
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def measure(options, command, url, viewers, more):
    server = start(command)
    # What a server prints must not stop it.
    drain = subprocess.Popen(["cat"], stdin=server.stdout, stdout=subprocess.DEVNULL)
    try:
        bench = [options.rtcast, "bench", "viewers", "--url", url, "--count", str(viewers), "--seconds",
                 str(options.seconds), "--no-sound", "--server-pid", str(server.pid), "--json", *more]
        done = subprocess.run(bench, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=options.seconds + 180)
        if not done.stdout.strip():
            raise RuntimeError(done.stderr.decode().strip())
        return json.loads(done.stdout)
    finally:
        stop(server)
        drain.wait()


def row(name, viewers, reports):
    def median(of):
        return statistics.median(of(report) for report in reports)

    costs = sorted(report["server"]["cpu_ms_per_viewer_second"] for report in reports)
    cost = statistics.median(costs)
    every = all(report["every_picture"] and report["failed"] == 0 for report in reports)
    return [
        name,
        str(viewers),
        f"{cost:.2f}" + (f" ({costs[0]:.2f} to {costs[-1]:.2f})" if len(costs) > 1 else ""),
        f"{1000 / cost:.0f}" if cost else "-",
        f"{median(lambda report: report['server']['memory_per_viewer']) / 1e6:.2f} MB",
        f"{sum(report['lost'] for report in reports)}",
        f"{sum(report['broken_pictures'] + report['skipped_pictures'] for report in reports)}",
        "yes" if every else "no",
        f"{median(lambda report: report['setup_ms']['median']):.0f} ms",
        f"{median(lambda report: report['first_picture_ms']['median']):.0f} ms",
        f"{median(lambda report: (report['generator']['cores'] or 0) * 1000 / max(report['watching'], 1)):.2f}",
    ]


HEAD = ["Server", "Viewers", "ms of CPU a viewer-second", "viewers a core", "memory a viewer", "packets lost",
        "pictures lost", "every picture received", "connected after", "first picture", "generator, ms"]


def table(rows):
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", action="append", help="the name of a server; may be given several times")
    parser.add_argument("--rtcast", default=os.path.join(ROOT, "target", "release", "rtcast"))
    parser.add_argument("--peers", default=os.path.join(HERE, "target", "release"), help="where the peers were built")
    parser.add_argument("--json", help="a file for all reports")
    parser.add_argument("bench", nargs="*", help="more arguments for `rtcast bench viewers`, after --")
    options = parser.parse_args()

    chosen = {name: one for name, one in servers(options).items() if not options.only or name in options.only}
    for name in [name for name, (command, _) in chosen.items() if not os.path.exists(command[0])]:
        print(f"{name} is not built and is left out", file=sys.stderr)
        del chosen[name]
    reports = {name: [] for name in chosen}
    for number in range(options.rounds):
        for name, (command, url) in chosen.items():
            # aiortc cannot serve a hundred on one core.
            viewers = min(options.viewers, 10) if name == "aiortc" else options.viewers
            try:
                report = measure(options, command, url, viewers, options.bench)
            except (RuntimeError, subprocess.TimeoutExpired, json.JSONDecodeError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            reports[name].append(report)
            cost = report["server"]["cpu_ms_per_viewer_second"]
            note = "; ".join(report["generator"]["limits"])
            print(f"round {number + 1}, {name}: {cost:.3f} ms {note}", file=sys.stderr, flush=True)
    rows = [row(name, all_of[0]["viewers"], all_of) for name, all_of in reports.items() if all_of]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; median of {options.rounds} rounds of "
          f"{options.seconds:.0f} s\n")
    print(table(rows))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(reports, file)


if __name__ == "__main__":
    main()
