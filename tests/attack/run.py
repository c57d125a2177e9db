#!/usr/bin/env python3
"""Attacks a server of its own, one way after the other, and says whether anybody else came to harm.

    tests/attack/run.py [--seconds N] [NAME…]

Every file beside this one that has a function `attack(server)` is an attack. All traffic stays on loopback.
"""

import argparse
import importlib
import sys
from pathlib import Path

import support

HERE = Path(__file__).parent
# How much the server may grow under an attack: what 256 pending sessions, its buffers and its queues may hold.
MEMORY = 128_000_000
# Somebody else's request is answered within this time, in seconds, however busy the machine is.
ANSWER = 3.0


def attacks():
    names = (path.stem for path in sorted(HERE.glob("*.py")))
    return [name for name in names if name not in ("run", "stun", "support")]


def harm(outcome):
    """What the attack did that it must not."""
    viewer = outcome.viewer
    expected = 30 * viewer["seconds"]
    if not outcome.alive:
        yield "the server is gone"
    if outcome.panics:
        yield f"{outcome.panics} panics"
    if outcome.memory_growth > MEMORY:
        yield f"memory grew by {outcome.memory_growth / 1e6:.0f} MB"
    if outcome.refused:
        yield f"{outcome.refused} requests of somebody else were not answered"
    if outcome.slowest_answer > ANSWER:
        yield f"somebody else's request took {outcome.slowest_answer:.1f} s"
    if outcome.newcomer != 201:
        yield f"a newcomer got {outcome.newcomer}"
    if viewer["watching"] != 1 or viewer["disconnected"]:
        yield "the viewer was disconnected"
    # A machine that is busy may drop a few, whole.
    if viewer["pictures"]["least"] < 0.9 * expected:
        yield f"the viewer saw {viewer['pictures']['least']:.0f} pictures of {expected:.0f}"
    if viewer["broken_pictures"]:
        yield f"{viewer['broken_pictures']} pictures came broken"
    yield from outcome.figures.get("harm", ())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8, help="how long each attack lasts, about")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(attacks()))
    options = parser.parse_args()
    failed = []
    for name in options.names or attacks():
        module = importlib.import_module(name)
        outcome = support.suffer(module, options.seconds, *getattr(module, "ARGUMENTS", ()))
        print(f"{name}: {outcome.line()}", flush=True)
        found = list(harm(outcome))
        for line in found:
            print(f"  HARM: {line}", flush=True)
        if found:
            failed.append(name)
    print(f"{len(options.names or attacks()) - len(failed)} attacks did no harm, {len(failed)} did", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
