"""Offers without end from one address: sessions that nobody will ever connect."""

import collections
import http.client
import threading
import time

import support

THREADS = 8


def attack(server):
    """Posts a good offer over and over, and leaves every session where it is."""
    offer = support.offer()
    statuses = collections.Counter()
    lock = threading.Lock()
    ends = time.monotonic() + server.seconds

    def post():
        client = http.client.HTTPConnection(server.host, server.port, timeout=10)
        while time.monotonic() < ends:
            try:
                client.request("POST", f"/{server.name}/whep", offer, {"Content-Type": "application/sdp"})
                response = client.getresponse()
                response.read()
                status = response.status
            except (OSError, http.client.HTTPException):
                status = 0
                client.close()
                time.sleep(0.05)
            with lock:
                statuses[status] += 1
        client.close()

    threads = [threading.Thread(target=post, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(server.seconds + 30)
    harm = []
    # Those of half a minute are limited: the attack is shorter than a session waits.
    if statuses[201] > 256:
        harm.append(f"{statuses[201]} sessions of one address are on their way")
    return {"statuses": dict(statuses), "harm": harm}
