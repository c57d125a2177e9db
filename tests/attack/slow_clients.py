"""Clients of HTTP that open connections and say nothing, or little by little, or read nothing of what they asked for."""

import selectors
import socket
import time

CONNECTIONS = 1500
HEAD = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
BODY = b"POST /%s/whep HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: 60000\r\n\r\n"
GREEDY = b"GET /assets/player.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50


def attack(server):
    """Keeps as many connections as it gets, of each kind a fourth, and counts what became of them."""
    figures = {"opened": 0, "refused": 0, "closed": 0, "most_open": 0}
    kinds = [b"", HEAD, BODY % server.name.encode(), GREEDY]
    selector = selectors.DefaultSelector()
    ends = time.monotonic() + server.seconds
    drip = time.monotonic()
    number = 0
    while time.monotonic() < ends:
        while len(selector.get_map()) < CONNECTIONS and time.monotonic() < ends:
            try:
                client = socket.create_connection((server.host, server.port), timeout=1)
            except OSError:
                figures["refused"] += 1
                break
            client.setblocking(False)
            kind = kinds[number % len(kinds)]
            number += 1
            figures["opened"] += 1
            # Those who asked for much read nothing, so only an error tells that they were closed.
            events = selectors.EVENT_READ if kind != GREEDY else 0
            try:
                client.send(kind)
                selector.register(client, events or selectors.EVENT_WRITE, kind)
            except OSError:
                client.close()
        if time.monotonic() > drip:
            drip = time.monotonic() + 1
            for key in list(selector.get_map().values()):
                try:
                    if key.data and key.data != GREEDY:
                        key.fileobj.send(b"x")
                    elif key.data == GREEDY:
                        key.fileobj.send(GREEDY)
                except BlockingIOError:
                    pass
                except OSError:
                    end(selector, key.fileobj, figures)
        figures["most_open"] = max(figures["most_open"], len(selector.get_map()))
        for key, events in selector.select(0.05):
            if not events & selectors.EVENT_READ:
                continue
            try:
                if not key.fileobj.recv(65536):
                    end(selector, key.fileobj, figures)
            except BlockingIOError:
                pass
            except OSError:
                end(selector, key.fileobj, figures)
        time.sleep(0.02)
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    selector.close()
    return figures


def end(selector, client, figures):
    figures["closed"] += 1
    selector.unregister(client)
    client.close()
