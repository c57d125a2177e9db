"""Authentic checks for one session from thousands of addresses."""

import socket
import time

import stun


def attack(server):
    session = stun.Session(server)
    end = time.monotonic() + server.seconds
    sent, answered = 0, 0
    waiting = []
    while time.monotonic() < end and sent < 12_000:
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.setblocking(False)
        peer.bind((f"127.{16 + (sent >> 16)}.{sent >> 8 & 255}.{sent & 255 or 1}", 0))
        peer.sendto(session.check(), (server.host, server.port))
        sent += 1
        waiting.append(peer)
        if len(waiting) >= 200:
            answered += close(waiting)
            time.sleep(0.01)
    time.sleep(0.2)
    answered += close(waiting)
    return {"session": session.status, "checks": sent, "answered": answered}


def close(waiting):
    answered = 0
    for peer in waiting:
        try:
            peer.recv(2048)
            answered += 1
        except OSError:
            pass
        peer.close()
    waiting.clear()
    return answered
