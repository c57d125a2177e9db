"""Networks with NATs between two peers, made of namespaces, and a TURN server in their midst."""

import contextlib
import itertools
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PEER = os.environ.get("STDIO_PEER", str(ROOT / "target/debug/examples/stdio_peer"))
TURN = "203.0.113.10"
NUMBERS = itertools.count()
# Changes of the network are made one at a time: the kernel serializes them anyway.
LOCK = threading.Lock()


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done


class Laboratory:
    """Two hosts, each behind a NAT of its own, and a server that both can reach.

    A NAT is `cone` (one mapping for all destinations, closed to whom nothing was sent), `symmetric` (another mapping for
    each destination), `blocked` (TCP only) or `open` (everything that comes is let through).

    hostA 10.0.1.2 - natA 203.0.113.1 - hub 203.0.113.10 - natB 203.0.113.2 - hostB 10.0.2.2
    """

    def __init__(self, nat_a, nat_b):
        self.prefix = f"rtc{os.getpid() % 10_000}x{next(NUMBERS)}"
        self.kinds = {"a": nat_a, "b": nat_b}
        self.directory = Path(tempfile.mkdtemp(prefix="rtcast-network-"))
        self.peers = []
        self.server = None

    def name(self, part):
        return f"{self.prefix}{part}"

    def ns(self, part, *command, check=True):
        return run("ip", "netns", "exec", self.name(part), *command, check=check)

    def __enter__(self):
        try:
            with LOCK:
                self.build()
            self.certificate()
            self.start_turn()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for peer in self.peers:
            peer.stop()
        self.stop_turn()
        with LOCK:
            # Their interfaces go with the namespaces.
            for part in ("hub", "nata", "natb", "hosta", "hostb"):
                run("ip", "netns", "delete", self.name(part), check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def build(self):
        for part in ("hub", "nata", "natb", "hosta", "hostb"):
            run("ip", "netns", "add", self.name(part))
            self.ns(part, "ip", "link", "set", "lo", "up")
        self.ns("hub", "ip", "link", "add", "br0", "type", "bridge")
        self.ns("hub", "ip", "addr", "add", f"{TURN}/24", "dev", "br0")
        self.ns("hub", "ip", "link", "set", "br0", "up")
        # Private addresses lead nowhere from here, and nobody says so.
        self.ns("hub", "ip", "link", "add", "void", "type", "bridge")
        self.ns("hub", "ip", "link", "set", "void", "up")
        self.ns("hub", "ip", "route", "add", "default", "dev", "void")
        for side, number in (("a", 1), ("b", 2)):
            nat, host, lan = f"nat{side}", f"host{side}", f"10.0.{number}"
            run("ip", "link", "add", "wan", "netns", self.name(nat), "type", "veth",
                "peer", "name", f"port{side}", "netns", self.name("hub"))
            self.ns("hub", "ip", "link", "set", f"port{side}", "master", "br0", "up")
            self.ns(nat, "ip", "addr", "add", f"203.0.113.{number}/24", "dev", "wan")
            self.ns(nat, "ip", "link", "set", "wan", "up")
            run("ip", "link", "add", "lan", "netns", self.name(nat), "type", "veth",
                "peer", "name", "eth0", "netns", self.name(host))
            self.ns(nat, "ip", "addr", "add", f"{lan}.1/24", "dev", "lan")
            self.ns(nat, "ip", "link", "set", "lan", "up")
            self.ns(host, "ip", "addr", "add", f"{lan}.2/24", "dev", "eth0")
            self.ns(host, "ip", "link", "set", "eth0", "up")
            self.ns(host, "ip", "route", "add", "default", "via", f"{lan}.1")
            self.ns(nat, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            random = ["--random"] if self.kinds[side] == "symmetric" else []
            self.ns(nat, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "wan", "-j", "MASQUERADE", *random)
            # What comes unasked must leave no trace, or the mapping that the host makes next would get another port.
            self.ns(nat, "iptables", "-A", "INPUT", "-i", "wan", "-j", "DROP")
            if self.kinds[side] == "open":
                self.ns(nat, "iptables", "-t", "nat", "-A", "PREROUTING", "-i", "wan", "-p", "udp",
                        "-j", "DNAT", "--to-destination", f"{lan}.2")
            if self.kinds[side] == "blocked":
                self.ns(nat, "iptables", "-A", "FORWARD", "-p", "udp", "-j", "DROP")

    def certificate(self):
        """A certificate for the server, signed by an authority that the peers are told to trust."""
        file = lambda name: str(self.directory / name)  # noqa: E731
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        run("openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=authority",
            "-keyout", file("authority.key"), "-out", file("authority.pem"))
        (self.directory / "names").write_text(f"subjectAltName=IP:{TURN}\nbasicConstraints=CA:FALSE\n")
        run("openssl", "req", *key, "-subj", "/CN=turn", "-keyout", file("key.pem"), "-out", file("request.pem"))
        run("openssl", "x509", "-req", "-in", file("request.pem"), "-CA", file("authority.pem"),
            "-CAkey", file("authority.key"), "-CAcreateserial", "-days", "2", "-extfile", file("names"),
            "-out", file("cert.pem"))

    def start_turn(self):
        self.server = subprocess.Popen(
            ["ip", "netns", "exec", self.name("hub"), "turnserver", "-n", f"--listening-ip={TURN}", f"--relay-ip={TURN}",
             "--listening-port=3478", "--tls-listening-port=5349", f"--cert={self.directory / 'cert.pem'}",
             f"--pkey={self.directory / 'key.pem'}", "--min-port=50000", "--max-port=50100", "--lt-cred-mech",
             "--user=user:secret", "--realm=example.org", "--no-cli", "--no-dtls", f"--pidfile={self.directory / 'pid'}",
             f"--log-file={self.directory / 'turn.log'}", "--simple-log"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self.ns("hub", "ss", "-Hltn", "sport", "=", ":5349").stdout:
            assert time.monotonic() < deadline, "the TURN server does not start"
            time.sleep(0.02)

    def stop_turn(self):
        if self.server:
            self.server.kill()
            self.server.wait()
            self.server = None

    def move(self, side, address):
        """Gives a NAT another address to the outside, as a provider does over night: all mappings are gone."""
        nat = f"nat{side}"
        old = {"a": "203.0.113.1", "b": "203.0.113.2"}[side]
        with LOCK:
            self.ns(nat, "ip", "addr", "add", f"{address}/24", "dev", "wan")
            self.ns(nat, "ip", "addr", "del", f"{old}/24", "dev", "wan")
            self.ns(nat, "ip", "addr", "add", f"{address}/24", "dev", "wan", check=False)

    def peer(self, side, servers, **settings):
        servers = [{"urls": [url], "username": "user", "credential": "secret"} for url in servers]
        environment = dict(os.environ, SSL_CERT_FILE=str(self.directory / "authority.pem"))
        peer = Peer(self.name(f"host{side}"), {"iceServers": servers, **settings}, environment)
        self.peers.append(peer)
        return peer


class Peer:
    """A running `stdio_peer`, whose candidates go to the other as they come."""

    def __init__(self, namespace, settings, environment):
        command = ["ip", "netns", "exec", namespace, PEER, json.dumps(settings)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.other = None
        self.ready = threading.Event()
        self.answers = queue.Queue()
        self.states, self.errors, self.candidates = [], [], []
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            with self.changed:
                match event["event"]:
                    case "state":
                        self.states.append(event["state"])
                    case "candidateError":
                        self.errors.append(event)
                    case "candidate":
                        self.candidates.append(event["candidate"]["candidate"])
                    case _:
                        self.answers.put(event)
                self.changed.notify_all()
            if event["event"] == "candidate":
                threading.Thread(target=self.pass_on, args=(event["candidate"],), daemon=True).start()

    def pass_on(self, candidate):
        # The other takes candidates after the description that they belong to.
        if self.other.ready.wait(10):
            self.other.send(do="candidate", candidate=candidate)

    def send(self, **command):
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()

    def ask(self, answer, **command):
        self.send(**command)
        while True:
            event = self.answers.get(timeout=15)
            if event["event"] == answer:
                return event
            assert event["event"] != "error", event

    def stats(self):
        return self.ask("stats", do="stats")

    def wait_for(self, state, timeout=15):
        """Waits until the latest state is that one. Returns how long it took."""
        start = time.monotonic()
        with self.changed:
            reached = self.changed.wait_for(lambda: self.states and self.states[-1] == state, timeout)
        assert reached, f"not {state} after {timeout} s: {self.states}, {self.errors}"
        return time.monotonic() - start

    def stop(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def call(offerer, answerer, restart=False):
    """Exchanges an offer and its answer, with candidates as they come."""
    offerer.other, answerer.other = answerer, offerer
    if restart:
        offerer.ready.clear()
        answerer.ready.clear()
    offer = offerer.ask("description", do="offer", iceRestart=restart)["description"]
    answer = answerer.ask("description", do="answer", description=offer)["description"]
    answerer.ready.set()
    offerer.send(do="take", description=answer)
    offerer.ready.set()


def frames_flow(receiver, count=20, timeout=10):
    """Waits until so many frames more have come."""
    begin = receiver.stats()["frames"]
    deadline = time.monotonic() + timeout
    while (now := receiver.stats()["frames"]) < begin + count:
        assert time.monotonic() < deadline, f"{now - begin} frames in {timeout} s"
        time.sleep(0.05)


def way(peer):
    """`relay` if either end of the selected pair is at the TURN server, else `direct`."""
    pair = peer.stats()["pair"]
    return "relay" if any(end.rsplit(":", 1)[0] == TURN for end in pair) else "direct"
