"""GStreamer with its stock certificate, which has an RSA key, watches a film: as the offerer by WHEP, where it is the server of
DTLS, and as the answerer over the WebSocket, where it is the client.

To be run as root: it makes network namespaces, for GStreamer's ICE has no candidates on the loopback interface.
"""

import json
import os
import subprocess
import threading
import time
import unittest

from laboratory import NUMBERS, ROOT, run

RTCAST = os.environ.get("RTCAST", str(ROOT / "target/debug/rtcast"))
FILM = ROOT / "tests/media/baseline.mp4"
VIEWER = ROOT / "tests/network/gstreamer_viewer.py"
# As tests/media.sh draws it.
BLOCK = (0xC0, 0x20, 0x40)
ADDRESSES = {"server": "10.0.9.1", "viewer": "10.0.9.2"}


class GStreamer(unittest.TestCase):
    def setUp(self):
        prefix = f"rtg{os.getpid() % 10_000}x{next(NUMBERS)}"
        self.names = {side: prefix + side for side in ADDRESSES}
        for side, name in self.names.items():
            run("ip", "netns", "add", name)
            # Their interfaces go with the namespaces.
            self.addCleanup(run, "ip", "netns", "delete", name, check=False)
        server, viewer = self.names.values()
        run("ip", "link", "add", "eth0", "netns", server, "type", "veth", "peer", "name", "eth0", "netns", viewer)
        for side, name in self.names.items():
            run("ip", "-n", name, "addr", "add", f"{ADDRESSES[side]}/24", "dev", "eth0")
            for interface in ("lo", "eth0"):
                run("ip", "-n", name, "link", "set", interface, "up")
        # A link is up some time after it was told to be, and libnice gives up on one that is not.
        for name in self.names.values():
            self.settles(name)

    def settles(self, name):
        for _ in range(100):
            state = run("ip", "-n", name, "address", "show", "dev", "eth0").stdout
            if "state UP" in state and "tentative" not in state:
                return
            time.sleep(0.1)
        self.fail(f"the link does not come up: {state}")

    def command(self, side, *command):
        return ["ip", "netns", "exec", self.names[side], *map(str, command)]

    def stream(self):
        """Starts the server. Returns its port."""
        listen = f"{ADDRESSES['server']}:0"
        command = self.command("server", RTCAST, "stream", FILM, "--json", "--name", "film", "--listen", listen)
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        for line in server.stdout:
            event = json.loads(line)
            if event["event"] == "ready":
                threading.Thread(target=server.stdout.read, daemon=True).start()
                return event["url"].rsplit(":", 1)[1].split("/")[0]
        self.fail("the server does not start")

    def watches(self, way, setup):
        port = self.stream()
        # Debian's own Python has GStreamer's bindings.
        command = self.command("viewer", "/usr/bin/python3", VIEWER, way, ADDRESSES["server"], port, "film")
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = json.loads(done.stdout.splitlines()[-1])
        self.assertGreaterEqual(seen["pictures"], 60)
        self.assertEqual(seen["size"], [640, 360])
        for channel, expected in zip(seen["colour"], BLOCK):
            self.assertAlmostEqual(channel, expected, delta=12, msg=f"{seen['colour']} instead of {BLOCK}")
        self.assertEqual(seen["setup"], setup)
        text = subprocess.run(
            ["openssl", "x509", "-noout", "-text"], input=seen["pem"], capture_output=True, text=True, check=True)
        self.assertIn("rsaEncryption", text.stdout)

    def test_it_watches_as_the_offerer_and_server_of_dtls(self):
        self.watches("offer", "a=setup:active")

    def test_it_watches_as_the_answerer_and_client_of_dtls(self):
        self.watches("answer", "a=setup:active")


if __name__ == "__main__":
    unittest.main(verbosity=2)
