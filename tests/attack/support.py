"""A server under attack, beside it somebody who only wants to watch, and what became of both."""

import dataclasses
import http.client
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
RTCAST = os.environ.get("RTCAST", str(ROOT / "target/debug/rtcast"))
FILM = str(ROOT / "tests/media/baseline.mp4")

# Attackers come from 127.0.0.1, all others from here: limits for one address must not touch them.
BYSTANDER = "127.0.0.99"

# How long the viewer watches before the attack begins and after it has ended, in seconds.
BEFORE = 2
AFTER = 2


@dataclasses.dataclass
class Outcome:
    """What an attack came to."""

    figures: dict  # what the attacker counted
    seconds: float  # how long it lasted
    memory_before: int  # resident bytes of the server
    memory_most: int  # the most during the attack and shortly after
    cpu_share: float  # of one core, during the attack
    descriptors_most: int
    answers: int  # bystander's requests over HTTP that were answered
    refused: int  # those that were not
    slowest_answer: float  # in seconds
    newcomer: int  # the status that an offer from elsewhere got right after the attack
    viewer: dict  # the report of the viewer who watched throughout
    panics: int
    alive: bool

    @property
    def memory_growth(self):
        return self.memory_most - self.memory_before

    def line(self):
        viewer = self.viewer
        return (
            f"{self.seconds:.0f} s, memory {self.memory_before / 1e6:.0f} → {self.memory_most / 1e6:.0f} MB, "
            f"cpu {self.cpu_share:.0%} of a core, {self.descriptors_most} descriptors, "
            f"HTTP {self.answers} answered, {self.refused} not, slowest {self.slowest_answer:.2f} s, "
            f"newcomer {self.newcomer}, viewer {viewer['pictures']['least']:.0f} pictures of {30 * viewer['seconds']:.0f}, "
            f"{viewer['lost']} packets lost, {viewer['disconnected']} disconnected, panics {self.panics}, {self.figures}"
        )


class Server:
    """A running `rtcast stream` on a port of 127.0.0.1, for TCP and UDP."""

    def __init__(self, *arguments, seconds):
        self.seconds = seconds
        self.log = tempfile.TemporaryFile("w+")
        command = [RTCAST, "stream", FILM, "--json", "--listen", "127.0.0.1:0", "--tcp", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL, text=True
        )
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "ready":
                break
        else:
            raise RuntimeError("the server did not start: " + self.stderr())
        self.whep = event["whep"]
        authority, self.name = self.whep.removeprefix("http://").split("/")[:2]
        self.host, port = authority.rsplit(":", 1)
        self.port = int(port)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self):
        for _ in self.process.stdout:
            pass

    def stderr(self):
        self.log.seek(0)
        return self.log.read()

    @property
    def alive(self):
        return self.process.poll() is None

    def memory(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def request(self, method, path, body=None, headers=(), timeout=30):
        """Somebody else's request; the status and how long it took."""
        began = time.monotonic()
        client = http.client.HTTPConnection(self.host, self.port, timeout=timeout, source_address=(BYSTANDER, 0))
        try:
            client.request(method, path, body, dict(headers))
            response = client.getresponse()
            response.read()
            return response.status, time.monotonic() - began
        finally:
            client.close()

    def stop(self):
        if self.alive:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Watch(threading.Thread):
    """Looks at the server ten times a second, and asks it something as a bystander five times a second."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.ended = threading.Event()
        self.memory = server.memory()
        self.descriptors = 0
        self.answers = 0
        self.refused = 0
        self.slowest = 0.0

    def run(self):
        asking = threading.Thread(target=self.ask, daemon=True)
        asking.start()
        while not self.ended.wait(0.1):
            try:
                self.memory = max(self.memory, self.server.memory())
                self.descriptors = max(self.descriptors, self.server.descriptors())
            except OSError:  # it is gone
                break
        asking.join()

    def ask(self):
        while not self.ended.wait(0.2):
            try:
                status, took = self.server.request("GET", "/api/streams")
            except OSError:
                self.refused += 1
                continue
            self.answers += status == 200
            self.refused += status != 200
            self.slowest = max(self.slowest, took)


def offer():
    """What a browser that wants to watch offers."""
    return (ROOT / "crates/rtcast-proto/tests/fixtures/chromium_offer_recvonly.sdp").read_bytes()


def suffer(module, seconds, *arguments):
    """Runs an attack against a server of its own, and returns its Outcome."""
    server = Server(*arguments, seconds=seconds)
    try:
        # It watches for longer than the attack may take, and is counted until it is told to stop.
        viewer = subprocess.Popen(
            [RTCAST, "bench", "viewers", "--json", "--url", server.whep, "--count", "1", "--warm-up", "1"]
            + ["--seconds", str(BEFORE + 2 * seconds + AFTER)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(1 + BEFORE)
        memory_before, cpu_before = server.memory(), server.cpu()
        watch = Watch(server)
        watch.start()
        began = time.monotonic()
        figures = module.attack(server)
        lasted = time.monotonic() - began
        cpu_share = (server.cpu() - cpu_before) / lasted if server.alive else 0.0
        try:
            newcomer, _ = server.request(
                "POST", f"/{server.name}/whep", offer(), {"Content-Type": "application/sdp"}
            )
        except OSError:
            newcomer = 0
        output, errors = viewer.communicate(timeout=120)
        watch.ended.set()
        watch.join()
        if not output.strip():
            raise RuntimeError(f"the viewer reported nothing: {errors}")
        return Outcome(
            figures=figures,
            seconds=lasted,
            memory_before=memory_before,
            memory_most=watch.memory,
            cpu_share=cpu_share,
            descriptors_most=watch.descriptors,
            answers=watch.answers,
            refused=watch.refused,
            slowest_answer=watch.slowest,
            newcomer=newcomer,
            viewer=json.loads(output),
            panics=server.stderr().count("panicked at"),
            alive=server.alive,
        )
    finally:
        server.stop()
