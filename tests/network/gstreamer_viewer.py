"""A viewer on GStreamer's webrtcbin with its stock certificate, which has an RSA key.

gstreamer_viewer.py offer|answer ADDRESS PORT NAME: watches a stream, offering by WHEP or answering over the WebSocket, and
prints as JSON what it saw: how many pictures, their size, the colour of the flat block in their corner, its own certificate's
key, and who opened DTLS.
"""

import base64
import collections
import http.client
import json
import os
import queue
import socket
import struct
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402

PATIENCE = 30
PICTURES = 60


class Viewer:
    def __init__(self):
        self.pipeline = Gst.Pipeline()
        self.peer = Gst.ElementFactory.make("webrtcbin")
        assert self.peer, "there is no webrtcbin"
        self.peer.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.peer)
        self.peer.connect("pad-added", self.stream)
        self.peer.connect("on-ice-candidate", lambda _, line, candidate: self.candidates.put((line, candidate)))
        self.peer.connect("notify::ice-gathering-state", self.gathering)
        self.candidates, self.pictures = queue.Queue(), queue.Queue()
        self.gathered = threading.Event()
        self.colours = collections.deque(maxlen=PICTURES)
        self.size, self.replies = None, []
        assert self.pipeline.set_state(Gst.State.PLAYING) != Gst.StateChangeReturn.FAILURE

    def gathering(self, *_):
        if self.peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            self.gathered.set()

    def stream(self, _, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        decode = Gst.ElementFactory.make("decodebin")
        decode.connect("pad-added", self.decoded)
        self.pipeline.add(decode)
        decode.sync_state_with_parent()
        pad.link(decode.get_static_pad("sink"))

    def decoded(self, _, pad):
        video = pad.query_caps().to_string().startswith("video/")
        description = "videoconvert ! video/x-raw,format=RGB ! fakesink name=sink signal-handoffs=true sync=false"
        sink = Gst.parse_bin_from_description(description if video else "fakesink sync=false", True)
        if video:
            sink.get_by_name("sink").connect("handoff", self.picture)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def picture(self, _, buffer, pad):
        caps = pad.get_current_caps().get_structure(0)
        self.size = [caps.get_value("width"), caps.get_value("height")]
        # Rows of RGB end at multiples of four bytes.
        row = (self.size[0] * 3 + 3) // 4 * 4
        at = row * (self.size[1] // 6) + 3 * (self.size[0] // 8)
        self.pictures.put(list(buffer.extract_dup(at, 3)))

    def ask(self, signal, *arguments):
        promise = Gst.Promise.new()
        self.peer.emit(signal, *arguments, promise)
        assert promise.wait() == Gst.PromiseResult.REPLIED, signal
        # What is taken out of a reply lives as long as that does.
        self.replies.append((promise, promise.get_reply()))
        return self.replies[-1][1]

    def describe(self, kind):
        """Makes a description and sets it. Returns its SDP with all candidates."""
        description = self.ask(f"create-{kind}", None).get_value(kind)
        self.ask("set-local-description", description)
        assert self.gathered.wait(PATIENCE), "no end of gathering"
        return self.peer.get_property("local-description").sdp.as_text()

    def take(self, kind, text):
        result, message = GstSdp.SDPMessage.new_from_text(text)
        assert result == GstSdp.SDPResult.OK, text
        self.ask("set-remote-description", GstWebRTC.WebRTCSessionDescription.new(kind, message))

    def watch(self, failed):
        seen = []
        for _ in range(PATIENCE * 10):
            try:
                while len(seen) < PICTURES:
                    seen.append(self.pictures.get(timeout=0.1))
                return seen
            except queue.Empty:
                if problem := failed():
                    raise AssertionError(problem)
        raise AssertionError(f"{len(seen)} pictures in {PATIENCE} s")

    def certificate(self):
        """Its own, in PEM."""
        receiver = self.peer.emit("get-transceiver", 0).get_property("receiver")
        return receiver.get_property("transport").get_property("certificate")


class WebSocket:
    """Just enough of RFC 6455."""

    def __init__(self, address, port, path):
        self.socket = socket.create_connection((address, port), PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.file = self.socket.makefile("rb")
        status = self.file.readline()
        assert b" 101 " in status, status
        while self.file.readline().strip():
            pass

    def send(self, message):
        text = json.dumps(message).encode()
        length = bytes([0x80 | len(text)]) if len(text) < 126 else struct.pack("!BH", 0x80 | 126, len(text))
        # A mask of zeros leaves the text as it is.
        self.socket.sendall(b"\x81" + length + bytes(4) + text)

    def receive(self):
        while True:
            first, length = self.file.read(2)
            if length == 126:
                length, = struct.unpack("!H", self.file.read(2))
            text = self.file.read(length)
            if first & 0x0F == 1:
                return json.loads(text)
            assert first & 0x0F == 9, f"the WebSocket ends: {text}"


def offer(viewer, address, port, name):
    for media in ("video,encoding-name=H264,clock-rate=90000,payload=96", "audio,encoding-name=OPUS,clock-rate=48000,payload=97"):
        caps = Gst.Caps.from_string(f"application/x-rtp,media={media}")
        viewer.peer.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, caps)
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
    connection.request("POST", f"/{name}/whep", viewer.describe("offer"), {"Content-Type": "application/sdp"})
    response = connection.getresponse()
    text = response.read().decode()
    assert response.status == 201, text
    viewer.take(GstWebRTC.WebRTCSDPType.ANSWER, text)
    return text, lambda: None


def answer(viewer, address, port, name):
    websocket = WebSocket(address, port, f"/{name}/ws")
    websocket.send({"type": "request"})
    problems, early = [], []
    while (message := websocket.receive())["type"] != "offer":
        early.append(message)

    def follow(message):
        if message["type"] == "candidate" and message["candidate"]:
            viewer.peer.emit("add-ice-candidate", message.get("sdpMLineIndex") or 0, message["candidate"])
        elif message["type"] == "error":
            problems.append(json.dumps(message))

    def read():
        try:
            while True:
                follow(websocket.receive())
        except (OSError, AssertionError, ValueError) as error:
            problems.append(str(error))

    viewer.take(GstWebRTC.WebRTCSDPType.OFFER, message["sdp"])
    for message in early:
        follow(message)
    text = viewer.describe("answer")
    websocket.send({"type": "answer", "sdp": text})
    threading.Thread(target=read, daemon=True).start()
    return text, lambda: problems and problems[0]


def main():
    Gst.init(None)
    way, address, port, name = sys.argv[1:]
    viewer = Viewer()
    text, failed = {"offer": offer, "answer": answer}[way](viewer, address, int(port), name)
    seen = viewer.watch(failed)
    print(json.dumps({
        "pictures": len(seen),
        "size": viewer.size,
        "colour": [sorted(channel)[len(seen) // 2] for channel in zip(*seen)],
        "pem": viewer.certificate(),
        # Both are what the answerer has chosen (RFC 8842 section 5.3).
        "setup": next(line for line in text.splitlines() if line.startswith("a=setup:")),
    }))
    viewer.pipeline.set_state(Gst.State.NULL)


main()
