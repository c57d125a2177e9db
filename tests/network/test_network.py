"""Calls through NATs of several kinds: each connects by the way that is expected, or fails as the standards say.

To be run as root: it makes network namespaces, and takes them down again.
"""

import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from laboratory import TURN, Laboratory, call, frames_flow, way  # noqa: E402

STUN = f"stun:{TURN}"
UDP = f"turn:{TURN}?transport=udp"
TCP = f"turn:{TURN}?transport=tcp"
TLS = f"turns:{TURN}:5349"

# The NATs of the two sides, the servers that both know, and the way that media takes.
CELLS = [
    ("cone", "cone", [STUN], "direct"),
    ("cone", "cone", [UDP, TCP, TLS], "direct"),
    ("cone", "symmetric", [UDP, TCP, TLS], "relay"),
    ("symmetric", "cone", [UDP], "relay"),
    ("symmetric", "symmetric", [UDP], "relay"),
    ("symmetric", "symmetric", [TCP], "relay"),
    ("cone", "blocked", [UDP, TCP], "relay"),
    ("blocked", "cone", [TLS], "relay"),
    ("symmetric", "blocked", [UDP, TCP, TLS], "relay"),
    ("blocked", "symmetric", [STUN, TLS], "relay"),
    ("blocked", "blocked", [TCP], "relay"),
    ("blocked", "blocked", [TLS], "relay"),
]


def connects(cell):
    nat_a, nat_b, servers, expected = cell
    with Laboratory(nat_a, nat_b) as laboratory:
        sender, receiver = laboratory.peer("a", servers, send=True), laboratory.peer("b", servers)
        start = time.monotonic()
        call(sender, receiver)
        sender.wait_for("connected", 25)
        receiver.wait_for("connected", 25)
        took = time.monotonic() - start
        frames_flow(receiver)
        ways = (way(sender), way(receiver))
        assert "relay" in ways if expected == "relay" else ways == ("direct", "direct"), f"{cell}: {ways}"
        return took


class Network(unittest.TestCase):
    def test_every_cell_connects_by_the_expected_way(self):
        with ThreadPoolExecutor(4) as pool:
            for cell, took in zip(CELLS, pool.map(connects, CELLS)):
                print(f"{cell[0]} x {cell[1]}, {' '.join(cell[2])}: {cell[3]} in {took:.2f} s", file=sys.stderr)

    def test_without_a_way_the_connection_fails_with_the_reasons(self):
        with Laboratory("blocked", "blocked") as laboratory:
            sender, receiver = laboratory.peer("a", [STUN, UDP], send=True), laboratory.peer("b", [STUN, UDP])
            call(sender, receiver)
            for peer in (sender, receiver):
                # RFC 8863: not before 39.5 s.
                peer.wait_for("failed", 60)
                self.assertEqual(peer.states, ["connecting", "failed"])
                # W3C webrtc: 701 says that a server could not be reached.
                self.assertEqual({(error["url"], error["code"]) for error in peer.errors}, {(STUN, 701), (UDP, 701)})
                self.assertTrue(all(" typ host" in candidate for candidate in peer.candidates), peer.candidates)

    def test_a_wrong_password_is_told_with_its_code(self):
        with Laboratory("cone", "cone") as laboratory:
            servers = [{"urls": [url], "username": "user", "credential": "wrong"} for url in (UDP, TCP)]
            sender = laboratory.peer("a", [], send=True, iceServers=servers)
            receiver = laboratory.peer("b", [STUN])
            call(sender, receiver)
            sender.wait_for("connected")
            deadline = time.monotonic() + 10
            while len(sender.errors) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            self.assertEqual({(error["url"], error["code"]) for error in sender.errors}, {(UDP, 401), (TCP, 401)})

    def test_with_the_policy_relay_the_peer_sees_the_relay_only(self):
        with Laboratory("cone", "cone") as laboratory:
            sender = laboratory.peer("a", [UDP], send=True, iceTransportPolicy="relay")
            receiver = laboratory.peer("b", [STUN])
            call(sender, receiver)
            receiver.wait_for("connected")
            frames_flow(receiver)
            self.assertEqual(way(receiver), "relay")
            self.assertTrue(all(" typ relay raddr 0.0.0.0 rport 0" in told for told in sender.candidates), sender.candidates)
            self.assertEqual(len(sender.candidates), 1)

    def test_a_killed_turn_server_is_survived_by_a_restart(self):
        for url in (UDP, TCP):
            with self.subTest(url), Laboratory("symmetric", "symmetric") as laboratory:
                sender, receiver = laboratory.peer("a", [url], send=True), laboratory.peer("b", [url])
                call(sender, receiver)
                receiver.wait_for("connected")
                frames_flow(receiver)
                laboratory.stop_turn()
                sender.wait_for("disconnected", 20)
                receiver.wait_for("disconnected", 20)
                laboratory.start_turn()
                call(receiver, sender, restart=True)
                receiver.wait_for("connected")
                sender.wait_for("connected")
                frames_flow(receiver)
                self.assertEqual(receiver.states, ["connecting", "connected", "disconnected", "connecting", "connected"])

    def test_a_change_of_address_in_mid_call_is_survived(self):
        # Whoever can be reached by anybody hears the peer from its new address, and follows. Behind a NAT that lets in
        # only those who were sent something, nothing of it is heard, and a restart tells of it.
        for nat, restart in (("open", False), ("cone", True)):
            with self.subTest(nat), Laboratory(nat, "cone") as laboratory:
                sender, receiver = laboratory.peer("a", [STUN], send=True), laboratory.peer("b", [STUN])
                call(sender, receiver)
                receiver.wait_for("connected")
                frames_flow(receiver)
                laboratory.move("b", "203.0.113.22")
                start = time.monotonic()
                if restart:
                    call(receiver, sender, restart=True)
                frames_flow(receiver, 60, 15)
                print(f"found again in {time.monotonic() - start:.2f} s", file=sys.stderr)
                self.assertTrue(sender.stats()["pair"][1].startswith("203.0.113.22:"), sender.stats())
                self.assertNotIn("failed", sender.states + receiver.states)


if __name__ == "__main__":
    unittest.main(verbosity=2)
