"""aiortc and the example `interop` send each other sound, pictures and messages: either side offers, and the candidates of
the example stand in its description or follow. aiortc itself does not trickle: its descriptions wait for its candidates."""

import asyncio
import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from aiortc import AudioStreamTrack, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp

ROOT = Path(__file__).parents[2]
PROGRAM = os.environ.get("RTCAST_INTEROP", str(ROOT / "target/debug/examples/interop"))
LIMIT = 30
MESSAGES = [
    "text",
    "Ελλάδα 日本 🚀",
    *(bytes((at * 31 ^ at >> 8) & 255 for at in range(length)) for length in (1, 1200, 16384)),
    "x" * 50_000,
]


class Call:
    """The aiortc side of a call with the running example."""

    def __init__(self, process, offers):
        self.process = process
        self.offers = offers
        self.pc = RTCPeerConnection()
        self.frames = {"audio": [], "video": []}
        self.echoes = []
        self.candidates = 0
        self.reports = asyncio.Queue()
        self.pc.addTrack(AudioStreamTrack())
        self.pc.addTrack(VideoStreamTrack())
        self.tasks = []
        self.pc.on("track", lambda track: self.tasks.append(asyncio.ensure_future(self.collect(track))))
        self.pc.on("datachannel", self.keep)

    async def collect(self, track):
        with contextlib.suppress(MediaStreamError):
            while True:
                self.frames[track.kind].append(await track.recv())

    def keep(self, channel):
        @channel.on("message")
        def on_message(message):
            if self.offers:
                self.echoes.append(message)
            else:
                channel.send(message)

    def write(self, message):
        self.process.stdin.write((json.dumps(message) + "\n").encode())

    async def describe(self, description):
        await self.pc.setLocalDescription(description)
        self.write({"type": self.pc.localDescription.type, "sdp": self.pc.localDescription.sdp})

    async def offer(self):
        channel = self.pc.createDataChannel("chat")
        self.keep(channel)
        channel.on("open", lambda: [channel.send(message) for message in MESSAGES])
        await self.describe(await self.pc.createOffer())

    async def follow(self):
        """Takes what the example says."""
        while line := await self.process.stdout.readline():
            message = json.loads(line)
            if message["type"] == "report":
                self.reports.put_nowait(message)
            elif message["type"] == "candidate":
                self.candidates += 1
                candidate = candidate_from_sdp(message["candidate"].removeprefix("candidate:"))
                candidate.sdpMid = message["sdpMid"]
                candidate.sdpMLineIndex = message["sdpMLineIndex"]
                await self.pc.addIceCandidate(candidate)
            else:
                await self.pc.setRemoteDescription(RTCSessionDescription(**message))
                if message["type"] == "offer":
                    await self.describe(await self.pc.createAnswer())

    async def complete(self):
        """Waits for sixty frames of each kind on either side and for every message; returns the example's last report."""
        while True:
            self.write({"type": "report"})
            report = await self.reports.get()
            frames = [len(frames) for frames in self.frames.values()] + [report["pictures"], report["sounds"]]
            messages = report["echoed"] and self.echoes == MESSAGES if self.offers else report["echoes"]
            if min(frames) >= 60 and messages:
                return report
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("candidates", ["trickle", "whole"])
@pytest.mark.parametrize("offerer", ["rtcast", "aiortc"])
def test_a_call(offerer, candidates):
    async def run():
        role = "offer" if offerer == "rtcast" else "answer"
        process = await asyncio.create_subprocess_exec(
            PROGRAM, role, candidates, "pattern", stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 20
        )
        call = Call(process, offerer == "aiortc")
        following = asyncio.ensure_future(call.follow())
        try:
            if call.offers:
                await call.offer()
            complete = asyncio.ensure_future(call.complete())
            # Whatever fails first is told.
            done, _ = await asyncio.wait({complete, following}, timeout=LIMIT, return_when=asyncio.FIRST_COMPLETED)
            assert done, [len(frames) for frames in call.frames.values()]
            await done.pop()
            assert complete.done(), "the example has ended"
            assert (call.candidates > 0) == (candidates == "trickle")
            assert (call.frames["video"][-1].width, call.frames["video"][-1].height) == (1280, 720)
            assert max(abs(frame.to_ndarray()).max() for frame in call.frames["audio"]) > 1000, "the tone is heard"
            await call.pc.close()
            process.stdin.close()
            assert await process.wait() == 0
        finally:
            following.cancel()
            for task in call.tasks:
                task.cancel()
            if process.returncode is None:
                process.kill()
                await process.wait()

    asyncio.run(asyncio.wait_for(run(), 2 * LIMIT))
