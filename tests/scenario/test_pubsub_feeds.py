# SPDX-License-Identifier: MIT
"""Readers that stay, over real sockets: streams, Server-Sent Events, WebSockets, leases; broken, killed, stopped."""
import base64
import json
import os
import socket
import struct
import threading
import time

import pytest

from harness import wait_until

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


@pytest.fixture
def bus(daemon):
    d = daemon()
    d.wait_ready()
    return d, d.pubsub()


class Reader:
    """A GET whose answer never ends; lines as they come."""

    def __init__(self, pubsub, queue, headers=None, **query):
        self.socket = socket.create_connection(("127.0.0.1", pubsub.port), timeout=10)
        target = pubsub.target(queue, session=pubsub.session, **query)
        lines = [f"GET {target} HTTP/1.1", "Host: x"] + [f"{k}: {v}" for k, v in (headers or {}).items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass

    def chunk(self):
        """The next chunk; b"" at the end, also where the connection breaks."""
        size = int(self.file.readline().strip() or b"0", 16)
        return self.file.read(size + 2)[:-2] if size else b""

    def close(self):
        self.file.close()
        self.socket.close()


class Events(Reader):
    """An EventSource."""

    def __init__(self, pubsub, queue, last=None, **query):
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        super().__init__(pubsub, queue, headers, **query)
        self.last = last

    def next(self):
        """The next message, None at the end."""
        while chunk := self.chunk():
            fields = dict(line.split(": ", 1) for line in chunk.decode().split("\n") if ": " in line)
            if "data" in fields:
                self.last = fields["id"]
                message = json.loads(fields["data"])
                assert message["Id"] == self.last
                return message
        return None


class WebSocket:
    """A client of RFC 6455, as small as it can be; answers pings while it reads."""

    def __init__(self, pubsub, queue, **query):
        self.socket = socket.create_connection(("127.0.0.1", pubsub.port), timeout=10)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET {pubsub.target(queue, session=pubsub.session, **query)} HTTP/1.1\r\nHost: x\r\n"
                             f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                             "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        assert b" 101 " in self.file.readline()
        while self.file.readline().strip():
            pass
        self.code = None

    def send(self, opcode, data):
        mask = os.urandom(4)
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        self.socket.sendall(bytes([0x80 | opcode, 0x80 | len(data)]) + mask + body)

    def next(self):
        """The next message, None at the end (`code` is the close's then)."""
        while head := self.file.read(2):
            size = head[1]
            if size == 126:
                size = struct.unpack("!H", self.file.read(2))[0]
            elif size == 127:
                size = struct.unpack("!Q", self.file.read(8))[0]
            data = self.file.read(size)
            opcode = head[0] & 15
            if opcode == TEXT:
                return json.loads(data)
            if opcode == PING:
                self.send(PONG, data)
            if opcode == CLOSE:
                self.code = struct.unpack("!H", data[:2])[0]
                return None
        return None

    def ack(self, *ids):
        self.send(TEXT, json.dumps({"ack": ids[0] if len(ids) == 1 else ids}).encode())

    def close(self, code=None):
        if code:
            self.send(CLOSE, struct.pack("!H", code))
        self.file.close()
        self.socket.close()


def publish(p, queue, *texts):
    for text in texts:
        assert p.post(queue, text, "text/plain", session=False).status == 200


def metric(daemon, name):
    return next(v for k, v in daemon.metrics().items() if k.startswith(f"voxbus_longpoll_{name}"))


def bodies(messages):
    return [m["Body"] for m in messages]


def test_stream_is_a_json_list_that_grows(bus):
    _, p = bus
    r = Reader(p, "q", stream=1, timeout="2s")
    text = r.chunk()
    assert text == b"["
    for body in ("a", "b"):
        publish(p, "q", body)
        chunk = r.chunk()
        assert json.loads(chunk.lstrip(b",\n"))["Body"] == body
        text += chunk
    while chunk := r.chunk():
        text += chunk
    assert bodies(json.loads(text)) == ["a", "b"]
    r.close()
    assert p.poll("q", timeout=0) == []


def test_events_go_on_where_they_were(bus):
    _, p = bus
    e = Events(p, "q")
    publish(p, "q", *"abcde")
    assert bodies(e.next() for _ in range(5)) == list("abcde")
    e.close()
    first = p.post("q", "f", "text/plain", session=False).headers["x-message-id"]
    again = Events(p, "q", last=None)
    assert again.next()["Id"] == first, "who says no last id gets what is new"
    again.close()
    e = Events(p, "q", last=first)
    publish(p, "q", "g")
    assert e.next()["Body"] == "g"
    e.close()


def test_events_over_kill_9_are_all_there(bus):
    d, p = bus
    n, seen, last = 60, {}, None
    _ = p.session

    def post():
        for i in range(n):
            while True:
                try:
                    if p.post("q", f"m{i}", "text/plain", session=False).status == 200:
                        break
                except OSError:
                    time.sleep(0.05)
            time.sleep(0.01)

    poster = threading.Thread(target=post)
    poster.start()
    kills, deadline = 0, time.monotonic() + 40
    while len(seen) < n and time.monotonic() < deadline:
        try:
            e = Events(p, "q", last=last, visibility="1s")
            while len(seen) < n and (m := e.next()):
                seen.setdefault(m["Body"], []).append(m)
                last = e.last
                if kills < 3 and len(seen) > (kills + 1) * n // 4:
                    kills += 1
                    d.kill()
                    d.start()
            e.close()
        except (OSError, ValueError, IndexError):
            time.sleep(0.05)
    poster.join(10)
    assert kills == 3
    # A publisher whose answer was lost has sent twice: two messages with two ids.
    assert sorted(seen, key=lambda b: int(b[1:])) == [f"m{i}" for i in range(n)]


def test_websocket_delivers_and_goes_on(bus):
    d, p = bus
    w = WebSocket(p, "q")
    publish(p, "q", "a", "b", "c")
    got = [w.next() for _ in range(3)]
    assert bodies(got) == ["a", "b", "c"]
    w.close()  # no close frame: it may be back
    w = WebSocket(p, "q", last=got[0]["Id"])
    again = [w.next() for _ in range(2)]
    assert bodies(again) == ["b", "c"] and all(m["Redelivered"] == 1 for m in again)
    w.close(1000)
    wait_until(lambda: metric(d, "lent") == 0, what="who closes in order is done")
    assert p.poll("q", timeout=0) == []


def test_leases_by_poll_and_by_websocket(bus):
    d, p = bus
    publish(p, "jobs", "a", "b", "c")
    leased = p.poll("jobs", ack="manual", visibility="1m")
    assert p.poll("jobs", timeout=0) == []
    ids = "&".join(f"id={m['Id']}" for m in leased)
    target = p.target("jobs", session=p.session) + "&" + ids
    assert p.request("DELETE", target).status == 204
    assert p.request("DELETE", target).status == 404
    d.kill()
    d.start()
    assert p.poll("jobs", timeout=0.5) == [], "acknowledged is acknowledged"
    w = WebSocket(p, "jobs", ack="manual", visibility="1s")
    publish(p, "jobs", "d", "e", "f")
    got = [w.next() for _ in range(3)]
    w.ack(got[0]["Id"])
    w.ack(got[1]["Id"], got[2]["Id"])
    wait_until(lambda: metric(d, "lent") == 0, what="the acknowledgements arrive")
    time.sleep(1.2)
    publish(p, "jobs", "g")
    assert w.next()["Body"] == "g"
    again = w.next()
    assert (again["Body"], again["Redelivered"]) == ("g", 1), "its second is over"
    w.close()


def test_dead_messages_are_in_a_queue_of_their_own(daemon):
    d = daemon({"buses": [{"type": "longpoll", "name": "http", "deliveries_max": 2}]})
    d.wait_ready()
    p = d.pubsub()
    publish(p, "jobs", "poison")
    for _ in range(2):
        assert bodies(p.poll("jobs", timeout=5, ack="manual", visibility="1s")) == ["poison"]
    assert bodies(p.poll("jobs.dead", timeout=5)) == ["poison"]
    assert p.poll("jobs", timeout=0) == []
    d.expect_log("message never acknowledged")


def test_everybody_is_told_that_it_stops(bus):
    d, p = bus
    stream, events, ws = Reader(p, "a", stream=1, timeout="1m"), Events(p, "b"), WebSocket(p, "c")
    assert stream.chunk() == b"["
    assert events.chunk().startswith(b"retry:")
    d.stop()
    assert stream.chunk() == b"\n]\n" and stream.chunk() == b""
    assert events.next() is None
    assert ws.next() is None and ws.code == 1001
    for r in (stream, events, ws):
        r.close()


def test_session_that_ends_ends_its_feeds(bus):
    _, p = bus
    own = p.auth()
    p._session, old = own, p._session
    events = Events(p, "q")
    p._session = old
    assert p.request("DELETE", f"/auth?session={own}").status == 204
    began = time.monotonic()
    events.socket.settimeout(20)
    assert events.next() is None
    assert time.monotonic() - began < 17
    events.close()
