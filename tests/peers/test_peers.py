"""rtcast and other WebRTC stacks, each in a program of its own: either side offers, candidates within the description or
after it; sound, pictures and messages both ways, whose bytes are checked where they arrive."""

import json
import os
import queue
import subprocess
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RTCAST = os.environ.get("RTCAST_INTEROP", str(ROOT / "target/debug/examples/interop"))
PEERS = ROOT / "tests/peers/target/debug"


class Side:
    """One program, its descriptions and candidates on their way to the other."""

    def __init__(self, program, role, candidates):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([program, role, candidates], text=True, bufsize=1, **pipes)
        self.reports = queue.Queue()
        self.said = []

    def follow(self, other):
        threading.Thread(target=self._read, args=(other,), daemon=True).start()

    def _read(self, other):
        for line in self.process.stdout:
            message = json.loads(line)
            if message["type"] == "report":
                self.reports.put(message)
            else:
                self.said.append(message)
                other.tell(message)

    def tell(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")

    def report(self):
        self.tell({"type": "report"})
        return self.reports.get(timeout=10)

    def stop(self):
        self.process.stdin.close()
        return self.process.wait(timeout=10)


@pytest.mark.parametrize("candidates", ["trickle", "whole"])
@pytest.mark.parametrize("offerer", ["rtcast", "peer"])
@pytest.mark.parametrize("peer", ["peer-str0m", "peer-webrtc-rs"])
def test_a_call(peer, offerer, candidates):
    roles = ("offer", "answer") if offerer == "rtcast" else ("answer", "offer")
    sides = {"rtcast": Side(RTCAST, roles[0], candidates), "peer": Side(str(PEERS / peer), roles[1], candidates)}
    try:
        sides["rtcast"].follow(sides["peer"])
        sides["peer"].follow(sides["rtcast"])
        deadline = time.monotonic() + 30
        while True:
            reports = {name: side.report() for name, side in sides.items()}
            both = reports.values()
            answerer = "peer" if offerer == "rtcast" else "rtcast"
            if (
                all(report["pictures"] >= 50 and report["sounds"] >= 100 for report in both)
                and reports[offerer]["echoes"]
                and reports[answerer]["echoed"]
            ):
                break
            assert time.monotonic() < deadline, reports
            time.sleep(0.05)
        assert [report["wrong"] for report in both] == [0, 0]
        for side in sides.values():
            description, *later = side.said
            within = description["sdp"].count("a=candidate:")
            assert (within == 0 and later) if candidates == "trickle" else (within > 0 and not later)
        assert [side.stop() for side in sides.values()] == [0, 0]
    finally:
        for side in sides.values():
            side.process.kill()
