"""The film from aiortc to any number of viewers: one player that does not decode, one relay.

usage: server.py FILM.ts PORT
"""

import sys

from aiohttp import web
from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer, MediaRelay

connections = set()
relay = MediaRelay()
player = None


async def offer(request):
    global player
    if player is None:
        player = MediaPlayer(sys.argv[1], loop=True, decode=False)
    connection = RTCPeerConnection()
    connections.add(connection)

    @connection.on("connectionstatechange")
    async def changed():
        if connection.connectionState in ("failed", "closed"):
            await connection.close()
            connections.discard(connection)

    await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
    # Without buffering a viewer that is late misses frames, and latency does not grow.
    sender = connection.addTrack(relay.subscribe(player.video, buffered=True))
    transceiver = next(one for one in connection.getTransceivers() if one.sender == sender)
    codecs = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType in ("video/H264", "video/rtx")])
    await connection.setLocalDescription(await connection.createAnswer())
    headers = {"Location": "/whep/session"}
    return web.Response(status=201, text=connection.localDescription.sdp, content_type="application/sdp", headers=headers)


async def end(_request):
    return web.Response()


app = web.Application()
app.router.add_post("/whep", offer)
app.router.add_delete("/whep/session", end)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), print=lambda *_: print("ready", flush=True))
