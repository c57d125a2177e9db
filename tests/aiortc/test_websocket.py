"""aiortc meets the server over the WebSocket protocol, as offerer and as answerer, and decodes what it is sent."""

import asyncio
import json

import pytest
import websockets
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp

LIMIT = 30
RED = (192, 32, 64)


class Viewer:
    """An aiortc peer connection that counts what it is sent."""

    def __init__(self):
        self.pc = RTCPeerConnection()
        self.frames = {"audio": [], "video": []}
        self.enough = {"audio": asyncio.Event(), "video": asyncio.Event()}
        self.tasks = []

        @self.pc.on("track")
        def on_track(track):
            self.tasks.append(asyncio.ensure_future(self.collect(track)))

    async def collect(self, track):
        try:
            while len(self.frames[track.kind]) < 60:
                self.frames[track.kind].append(await track.recv())
            self.enough[track.kind].set()
            while True:
                await track.recv()
        except MediaStreamError:
            pass

    async def take(self, message):
        """A candidate of the server's."""
        assert message["type"] == "candidate", message
        if not message["candidate"]:
            await self.pc.addIceCandidate(None)
            return
        candidate = candidate_from_sdp(message["candidate"].removeprefix("candidate:"))
        candidate.sdpMid = message["sdpMid"]
        candidate.sdpMLineIndex = message["sdpMLineIndex"]
        await self.pc.addIceCandidate(candidate)

    async def answered(self, websocket, kind):
        """The server's offer or answer."""
        while True:
            message = json.loads(await websocket.recv())
            if message["type"] == kind:
                return message
            await self.take(message)

    async def watched(self, *kinds):
        """Waits for sixty frames of each kind."""
        await asyncio.wait_for(asyncio.gather(*(self.enough[kind].wait() for kind in kinds)), LIMIT)

    async def close(self):
        await self.pc.close()
        for task in self.tasks:
            task.cancel()


def check_video(frames, size=(640, 360), red=True):
    """Sixty pictures of the size that was sent, at thirty a second, with the block of known colour."""
    assert (frames[-1].width, frames[-1].height) == size
    times = [float(frame.pts * frame.time_base) for frame in frames]
    assert times == sorted(times)
    assert 1.7 < times[-1] - times[0] < 2.4, "59 pictures take two seconds"
    if red:
        pixels = frames[-1].to_ndarray(format="rgb24")[40:80, 40:120]
        mean = pixels.reshape(-1, 3).mean(axis=0)
        assert all(abs(seen - wanted) < 24 for seen, wanted in zip(mean, RED)), mean


def check_audio(frames):
    """Sixty frames of sound that are not silence."""
    assert frames[-1].sample_rate == 48000
    assert max(abs(frame.to_ndarray()).max() for frame in frames) > 1000


@pytest.mark.parametrize("name", ["vp8.webm", "baseline.mp4", "high.mp4"])
def test_aiortc_offers(serve, media, name):
    server = serve(media(name))

    async def run():
        viewer = Viewer()
        viewer.pc.addTransceiver("video", direction="recvonly")
        viewer.pc.addTransceiver("audio", direction="recvonly")
        async with websockets.connect(server.websocket) as websocket:
            await viewer.pc.setLocalDescription(await viewer.pc.createOffer())
            await websocket.send(json.dumps({"type": "offer", "sdp": viewer.pc.localDescription.sdp}))
            answer = await viewer.answered(websocket, "answer")
            await viewer.pc.setRemoteDescription(RTCSessionDescription(**answer))
            await viewer.watched("video", "audio")
            await websocket.send('{"type":"bye"}')
            await viewer.close()
        check_video(viewer.frames["video"])
        check_audio(viewer.frames["audio"])

    asyncio.run(asyncio.wait_for(run(), 2 * LIMIT))
    assert server.event("viewer_joined")["signalling"] == "websocket"
    assert server.event("viewer_left")["reason"] == "bye"


def test_aiortc_answers(serve, media):
    server = serve(media("vp8.webm"))

    async def run():
        viewer = Viewer()
        async with websockets.connect(server.websocket) as websocket:
            await websocket.send('{"type":"request"}')
            offer = await viewer.answered(websocket, "offer")
            await viewer.pc.setRemoteDescription(RTCSessionDescription(**offer))
            await viewer.pc.setLocalDescription(await viewer.pc.createAnswer())
            await websocket.send(json.dumps({"type": "answer", "sdp": viewer.pc.localDescription.sdp}))
            await viewer.watched("video", "audio")
            await viewer.close()
        check_video(viewer.frames["video"])
        check_audio(viewer.frames["audio"])

    asyncio.run(asyncio.wait_for(run(), 2 * LIMIT))
    server.event("viewer_left")


def test_aiortc_watches_the_test_pattern(serve):
    server = serve()

    async def run():
        viewer = Viewer()
        viewer.pc.addTransceiver("video", direction="recvonly")
        async with websockets.connect(server.websocket) as websocket:
            await viewer.pc.setLocalDescription(await viewer.pc.createOffer())
            await websocket.send(json.dumps({"type": "offer", "sdp": viewer.pc.localDescription.sdp}))
            answer = await viewer.answered(websocket, "answer")
            await viewer.pc.setRemoteDescription(RTCSessionDescription(**answer))
            await viewer.watched("video")
            await viewer.close()
        check_video(viewer.frames["video"], size=(1280, 720), red=False)
        pixels = viewer.frames["video"][-1].to_ndarray(format="rgb24")[400:500, 80:240].reshape(-1, 3).mean(axis=0)
        assert pixels[1] > 190 and pixels[0] < 60 and pixels[2] < 60, pixels

    asyncio.run(asyncio.wait_for(run(), 2 * LIMIT))
    server.event("viewer_left")


def test_the_offer_as_json_text_is_refused_in_words(serve, media):
    """What a well-known question about aiortc did: the whole message where the SDP belongs."""
    server = serve(media("vp8.webm"))

    async def run():
        pc = RTCPeerConnection()
        pc.addTransceiver("video", direction="recvonly")
        await pc.setLocalDescription(await pc.createOffer())
        message = {"type": "offer", "sdp": pc.localDescription.sdp}
        async with websockets.connect(server.websocket) as websocket:
            await websocket.send(json.dumps({"type": "offer", "sdp": json.dumps(message)}))
            error = json.loads(await websocket.recv())
            assert error["type"] == "error"
            assert "JSON" in error["error"]["message"] + error["error"].get("hint", "")
            # The WebSocket is still good for the right offer.
            await websocket.send(json.dumps(message))
            assert json.loads(await websocket.recv())["type"] == "answer"
        await pc.close()

    asyncio.run(asyncio.wait_for(run(), LIMIT))
