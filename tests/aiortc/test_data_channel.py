"""aiortc and the example `data_channel` send each other messages, either side offering."""

import asyncio
import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

ROOT = Path(__file__).parents[2]
PROGRAM = os.environ.get("RTCAST_DATA_CHANNEL", str(ROOT / "target/debug/examples/data_channel"))
LIMIT = 60
MESSAGES = [
    "text",
    "Ελλάδα 日本 🚀",
    b"bytes",
    bytes(range(256)) * 64,
    "",
    b"",
    bytes(200_000),
    "x" * 100_000,
]


class Program:
    """The running example: descriptions as lines of JSON."""

    def __init__(self, process):
        self.process = process

    async def read(self):
        line = await asyncio.wait_for(self.process.stdout.readline(), LIMIT)
        return RTCSessionDescription(**json.loads(line))

    async def write(self, description):
        message = {"type": description.type, "sdp": description.sdp}
        self.process.stdin.write((json.dumps(message) + "\n").encode())
        await self.process.stdin.drain()


@contextlib.asynccontextmanager
async def program(mode):
    process = await asyncio.create_subprocess_exec(
        PROGRAM, mode, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 20
    )
    try:
        yield Program(process)
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), LIMIT) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Channel:
    """A channel of aiortc with what came on it."""

    def __init__(self, channel):
        self.channel = channel
        self.received = asyncio.Queue()
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        channel.on("message", self.received.put_nowait)
        channel.on("open", self.opened.set)
        channel.on("close", self.closed.set)
        if channel.readyState == "open":
            self.opened.set()

    async def exchange(self, messages):
        await asyncio.wait_for(self.opened.wait(), LIMIT)
        for message in messages:
            self.channel.send(message)
        for message in messages:
            assert await asyncio.wait_for(self.received.get(), LIMIT) == message


async def meet_as_offerer(pc, other):
    await pc.setLocalDescription(await pc.createOffer())
    await other.write(pc.localDescription)
    await pc.setRemoteDescription(await other.read())


def run(coroutine):
    asyncio.run(asyncio.wait_for(coroutine, 2 * LIMIT))


def test_aiortc_offers():
    async def scenario():
        pc = RTCPeerConnection()
        channel = Channel(pc.createDataChannel("from aiortc", protocol="p"))
        async with program("answer") as other:
            await meet_as_offerer(pc, other)
            await channel.exchange(MESSAGES)
            # What aiortc counts as buffered falls as we acknowledge.
            assert channel.channel.bufferedAmount == 0
            await pc.close()

    run(scenario())


def test_aiortc_answers():
    async def scenario():
        pc = RTCPeerConnection()
        arrived = asyncio.Queue()
        pc.on("datachannel", lambda channel: arrived.put_nowait(Channel(channel)))
        async with program("offer") as other:
            await pc.setRemoteDescription(await other.read())
            await pc.setLocalDescription(await pc.createAnswer())
            await other.write(pc.localDescription)
            channel = await asyncio.wait_for(arrived.get(), LIMIT)
            assert channel.channel.label == "rtcast"
            await channel.exchange(MESSAGES)
            await pc.close()

    run(scenario())


@pytest.mark.parametrize("options", [{"ordered": False}, {"maxRetransmits": 0}, {"maxPacketLifeTime": 500}])
def test_other_kinds_of_channels(options):
    async def scenario():
        pc = RTCPeerConnection()
        channel = Channel(pc.createDataChannel("kind", **options))
        async with program("answer") as other:
            await meet_as_offerer(pc, other)
            for number in range(20):
                await channel.exchange([f"message {number}"])
            await pc.close()

    run(scenario())


def test_channels_are_closed_by_either_side():
    async def scenario():
        pc = RTCPeerConnection()
        ours, theirs = (Channel(pc.createDataChannel(name)) for name in ("ours", "theirs"))
        async with program("answer") as other:
            await meet_as_offerer(pc, other)
            await ours.exchange(["a"])
            await theirs.exchange(["b"])
            ours.channel.close()
            theirs.channel.send("close")
            await asyncio.wait_for(ours.closed.wait(), LIMIT)
            await asyncio.wait_for(theirs.closed.wait(), LIMIT)
            again = Channel(pc.createDataChannel("again"))
            await again.exchange(["c"])
            await pc.close()

    run(scenario())
