"""One `rtcast stream` per test, and what it tells."""

import json
import os
import queue
import signal
import subprocess
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RTCAST = os.environ.get("RTCAST", str(ROOT / "target/debug/rtcast"))


class Server:
    """A running `rtcast stream`; its events come in order."""

    def __init__(self, *arguments):
        command = [RTCAST, "stream", "--json", "--listen", "127.0.0.1:0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.events = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        ready = self.event("ready")
        self.websocket = ready["websocket"]
        self.whep = ready["whep"]

    def _read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def event(self, name, timeout=15):
        """The next event of that name; those before it are dropped."""
        while True:
            event = self.events.get(timeout=timeout)
            if event["event"] == name:
                return event

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=5)


@pytest.fixture
def serve():
    """Starts servers that stop with the test, without a failure of their own."""
    servers = []

    def start(*arguments):
        server = Server(*arguments)
        servers.append(server)
        return server

    yield start
    for server in servers:
        assert server.stop() == 0


@pytest.fixture
def media():
    """The path of one of the films."""
    return lambda name: str(ROOT / "tests/media" / name)
