"""Sessions and ICE checks, written by hand (RFC 8489, RFC 8445 §7)."""

import hashlib
import hmac
import http.client
import os
import secrets
import socket
import struct
import zlib
from pathlib import Path

ROOT = Path(__file__).parents[2]
COOKIE = 0x2112A442
REQUEST, SUCCESS = 0x0001, 0x0101
USERNAME, MESSAGE_INTEGRITY, XOR_MAPPED_ADDRESS = 0x0006, 0x0008, 0x0020
PRIORITY, USE_CANDIDATE, FINGERPRINT, CONTROLLING = 0x0024, 0x0025, 0x8028, 0x802A


class Session:
    """A session of the server's, and our credentials and the server's."""

    def __init__(self, server, candidates=()):
        self.ours = (secrets.token_hex(4), secrets.token_hex(16))
        sdp = (ROOT / "crates/rtcast-proto/tests/fixtures/chromium_offer_recvonly.sdp").read_text()
        lines = []
        for line in sdp.splitlines():
            if line.startswith("a=candidate:"):
                continue
            if line.startswith("a=ice-ufrag:"):
                line = f"a=ice-ufrag:{self.ours[0]}"
            elif line.startswith("a=ice-pwd:"):
                line = f"a=ice-pwd:{self.ours[1]}"
                lines.extend(f"a={candidate}" for candidate in candidates)
            lines.append(line)
        body = "\r\n".join(lines) + "\r\n"
        self.offered = len(body)
        client = http.client.HTTPConnection(server.host, server.port, timeout=10)
        try:
            client.request("POST", f"/{server.name}/whep", body, {"Content-Type": "application/sdp"})
            response = client.getresponse()
            answer = response.read().decode()
        finally:
            client.close()
        self.status = response.status
        if response.status != 201:
            return
        value = lambda name: next(l.split(":", 1)[1].strip() for l in answer.splitlines() if l.startswith(name))
        self.theirs = (value("a=ice-ufrag:"), value("a=ice-pwd:"))

    def check(self, nominates=False):
        """A check that this session takes."""
        attributes = attribute(USERNAME, f"{self.theirs[0]}:{self.ours[0]}".encode())
        attributes += attribute(PRIORITY, struct.pack("!I", 0x6E7F1EFF))
        attributes += attribute(CONTROLLING, b"\xff" * 8)
        if nominates:
            attributes += attribute(USE_CANDIDATE, b"")
        return message(REQUEST, os.urandom(12), attributes, self.theirs[1])

    def answer(self, check, source):
        """The answer to a check of the server's that came from there; None to anything else."""
        if len(check) < 20 or struct.unpack("!H", check[:2])[0] != REQUEST:
            return None
        port = source[1] ^ (COOKIE >> 16)
        ip = struct.unpack("!I", socket.inet_aton(source[0]))[0] ^ COOKIE
        mapped = attribute(XOR_MAPPED_ADDRESS, struct.pack("!BBHI", 0, 1, port, ip))
        return message(SUCCESS, check[8:20], mapped, self.ours[1])


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)


def message(kind, transaction, attributes, password):
    def head(length):
        return struct.pack("!HHI", kind, length, COOKIE) + transaction

    covered = head(len(attributes) + 24) + attributes
    attributes += attribute(MESSAGE_INTEGRITY, hmac.new(password.encode(), covered, hashlib.sha1).digest())
    covered = head(len(attributes) + 8) + attributes
    checksum = zlib.crc32(covered) ^ 0x5354554E
    return covered + attribute(FINGERPRINT, struct.pack("!I", checksum))


def candidate(address, port, number):
    return f"candidate:{number} 1 udp {2113937151 - number} {address} {port} typ host"
