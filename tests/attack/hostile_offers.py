"""Offers of 64 kB that are cheap to send and dear to read: repeated lines, words and m-lines, by POST and by WebSocket."""

import base64
import collections
import http.client
import json
import os
import socket
import struct
import threading
import time

import support

LIMIT = 64_000
HEAD = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
SECURITY = (
    "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=fingerprint:sha-256 "
    + ":".join(["AB"] * 32)
    + "\r\n"
)
MEDIA = "m=video 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=mid:%s\r\na=rtcp-mux\r\na=recvonly\r\n"


def filled(start, line):
    """As many different lines as fit."""
    text, number = [start], 0
    length = len(start)
    while True:
        part = line(number)
        length += len(part)
        if length > LIMIT:
            return "".join(text).encode()
        text.append(part)
        number += 1


def offers():
    """Name and text of each offer."""
    types = " ".join(str(number) for number in range(128))
    one = HEAD + SECURITY + MEDIA % ("96", "0") + "a=rtpmap:96 VP8/90000\r\n"
    all_types = HEAD + SECURITY + MEDIA % (types, "0") + "".join(f"a=rtpmap:{number} VP8/90000\r\n" for number in range(128))
    rejected = "".join("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n" for _ in range(500))
    yield "ice-options", (HEAD + "a=ice-options:" + "a " * 22_000 + "\r\n" + SECURITY + rejected).encode()
    prints = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
    yield "fingerprints", (HEAD + SECURITY + prints * 380 + rejected).encode()
    yield "m-lines", filled(HEAD + SECURITY, lambda n: "m=video 0 UDP/TLS/RTP/SAVPF 96\r\n")
    yield "rtcp-fb", filled(all_types, lambda n: f"a=rtcp-fb:* x{n}\r\n")
    yield "fmtp", filled(all_types, lambda n: f"a=fmtp:{n % 128} x{n}={n}\r\n")
    yield "rtpmap", filled(one, lambda n: f"a=rtpmap:{n % 128} X{n}/90000\r\n")
    yield "extmap", filled(one, lambda n: f"a=extmap:{n % 255 + 1} urn:x:{n}\r\n")
    yield "ssrc", filled(one, lambda n: f"a=ssrc:{n} cname:x\r\n")
    yield "ssrc-group", filled(one, lambda n: f"a=ssrc-group:FID {n} {n + 1}\r\n")
    yield "candidates", filled(one, lambda n: f"a=candidate:{n} 1 udp {n + 1} 127.0.0.{n % 250 + 1} {n % 60000 + 1} typ host\r\n")
    yield "rid", filled(one, lambda n: f"a=rid:r{n} recv pt=96\r\n")
    yield "msid", filled(one, lambda n: f"a=msid:s{n} t{n}\r\n")
    yield "mid", filled(one, lambda n: f"a=mid:m{n}\r\n")
    yield "group", filled(HEAD, lambda n: f"a=group:BUNDLE m{n}\r\n")


def attack(server):
    """Sends them all in turn, over four connections by POST and two by WebSocket, without a pause."""
    made = list(offers())
    counts = collections.Counter()
    slowest = {}
    lock = threading.Lock()
    ends = time.monotonic() + server.seconds

    def note(name, key, took):
        with lock:
            counts[key] += 1
            slowest[name] = max(slowest.get(name, 0.0), took)

    def post(first):
        number = first
        client = http.client.HTTPConnection(server.host, server.port, timeout=30)
        while time.monotonic() < ends:
            name, text = made[number % len(made)]
            number += 1
            began = time.monotonic()
            try:
                client.request("POST", f"/{server.name}/whep", text, {"Content-Type": "application/sdp"})
                response = client.getresponse()
                response.read()
                note(name, response.status, time.monotonic() - began)
            except (OSError, http.client.HTTPException):
                note(name, "broken", time.monotonic() - began)
                client.close()
                time.sleep(0.05)
        client.close()

    def converse(first):
        number = first
        while time.monotonic() < ends:
            try:
                with WebSocket(server) as conversation:
                    # It is closed after too many mistakes.
                    for _ in range(19):
                        name, text = made[number % len(made)]
                        number += 1
                        began = time.monotonic()
                        message = json.dumps({"type": "offer", "sdp": text.decode()[:60_000]})
                        answer = conversation.ask(message.encode())
                        note(name, "websocket " + answer, time.monotonic() - began)
                        if time.monotonic() > ends:
                            return
            except (OSError, ValueError):
                with lock:
                    counts["websocket broken"] += 1
                time.sleep(0.05)

    threads = [threading.Thread(target=post, args=(n * 3,), daemon=True) for n in range(4)]
    threads += [threading.Thread(target=converse, args=(n * 5,), daemon=True) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(server.seconds + 60)
    worst = max(slowest, key=slowest.get, default="")
    return {"replies": dict(counts), "slowest": worst, "slowest_seconds": round(slowest.get(worst, 0.0), 2)}


class WebSocket:
    """As much of RFC 6455 as an attacker needs."""

    def __init__(self, server):
        self.socket = socket.create_connection((server.host, server.port), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /{server.name}/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self.file = self.socket.makefile("rb")
        if b" 101 " not in self.file.readline():
            raise ValueError("refused")
        while self.file.readline().strip():
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def ask(self, text):
        """Sends a text message; returns the type of the next message that is no candidate."""
        mask = os.urandom(4)
        masked = bytes(a ^ b for a, b in zip(text, mask * (len(text) // 4 + 1)))
        self.socket.sendall(b"\x81" + bytes([0x80 | 127]) + struct.pack(">Q", len(text)) + mask + masked)
        while True:
            first, length = self.read(2)
            length &= 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self.read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self.read(8))
            payload = self.read(length)
            if first & 0x0F == 8:
                raise ValueError("closed")
            if first & 0x0F == 1:
                kind = json.loads(payload)["type"]
                if kind != "candidate":
                    return kind

    def read(self, length):
        data = self.file.read(length)
        if len(data) < length:
            raise ValueError("ended")
        return data
