#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A tap on a websocket: a TCP proxy that copies bytes, and counts the frames that it has seen in them.

It stands beside the client (Asterisk) and notes each whole text frame as soon as the client has sent its last
byte, whether the server ever reads it or not. So what the client has sent, and what the server got of it, can
be told apart: `sent` minus what arrived was lost on the way, in the buffers of sockets.

    with WsTap(server_port) as tap:      # clients dial tap.port
        tap.connections                  # all that ever were, oldest first
        tap.connections[0].up            # frames of the client: [Frame(at, text)]; .down: those of the server
        tap.wait(lambda: ...)            # until that is true; looked at after each frame

When the server goes away the client's connection ends at once, as it would without a tap between them.
"""
import asyncio
import collections
import struct
import threading
import time

TEXT = 1
Frame = collections.namedtuple("Frame", "at text")


class FrameReader:
    """Frames out of a stream of bytes that begins with an HTTP head; only whole text frames are kept."""

    def __init__(self, frames):
        self.frames = frames
        self.buffer = bytearray()
        self.open = False

    def feed(self, data):
        self.buffer += data
        if not self.open:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if b"\r\nupgrade: websocket" not in self.buffer[:end].lower():
                self.buffer.clear()  # plain HTTP on the same port
                return
            del self.buffer[:end + 4]
            self.open = True
        while self._one():
            pass

    def _one(self):
        b = self.buffer
        if len(b) < 2:
            return False
        n, at = b[1] & 0x7F, 2
        if n == 126:
            n, at = (struct.unpack(">H", b[2:4])[0] if len(b) >= 4 else 1 << 62), 4
        elif n == 127:
            n, at = (struct.unpack(">Q", b[2:10])[0] if len(b) >= 10 else 1 << 62), 10
        masked = b[1] & 0x80
        if len(b) < at + (4 if masked else 0) + n:
            return False
        mask = bytes(b[at:at + 4]) if masked else b""
        at += len(mask)
        payload = bytes(b[at:at + n])
        if masked:
            key = int.from_bytes((mask * (n // 4 + 1))[:n], "big")
            payload = (int.from_bytes(payload, "big") ^ key).to_bytes(n, "big")
        if b[0] & 0x0F == TEXT:
            self.frames.append(Frame(time.monotonic(), payload))
        del b[:at + n]
        return True


class Connection:
    def __init__(self):
        self.up = []    # of the client
        self.down = []  # of the server
        self.began = time.monotonic()
        self.ended = None


class WsTap:
    def __init__(self, server_port, port=0):
        self.server_port = server_port
        self.port = port
        self.connections = []
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name="ws-tap", daemon=True)

    def __enter__(self):
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def wait(self, question, timeout=10, what="it did not come by the tap"):
        deadline = time.monotonic() + timeout
        with self._changed:
            while not question():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{what} (waited {timeout} s)")
                self._changed.wait(min(left, 0.5))

    # ---- in the loop
    def _main(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self):
        self._server = await asyncio.start_server(self._client, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self):
        self._server.close()
        mine = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    async def _client(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            return
        connection = Connection()
        copies = [asyncio.ensure_future(self._copy(reader, far_writer, FrameReader(connection.up), connection)),
                  asyncio.ensure_future(self._copy(far_reader, writer, FrameReader(connection.down), connection))]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        far_writer.transport.abort()
        # Our FIN tells the client; what it sends until it has noticed was sent, and is lost.
        try:
            if writer.can_write_eof():
                writer.write_eof()
            await asyncio.wait_for(self._rest(reader, connection), 5)
        except (asyncio.TimeoutError, OSError):
            pass
        writer.transport.abort()
        with self._changed:
            connection.ended = time.monotonic()
            self._changed.notify_all()

    async def _rest(self, reader, connection):
        while data := await reader.read(1 << 16):
            connection.reader.feed(data)

    async def _copy(self, reader, writer, frames, connection):
        if frames.frames is connection.up:
            connection.reader = frames
        try:
            while data := await reader.read(1 << 16):
                had = len(frames.frames)
                frames.feed(data)
                if frames.open and connection not in self.connections:
                    self.connections.append(connection)
                if len(frames.frames) != had:
                    with self._changed:
                        self._changed.notify_all()
                writer.write(data)
        except OSError:
            pass
