#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A scripted ARI peer: what Asterisk looks like to a client, and every way in which it may misbehave.

One server on 127.0.0.1 (port 0 = drawn) serves the event websocket /ari/events?app=A[,B] and the REST
requests below /ari/. It is asyncio and the standard library alone; the websocket framing is written here,
byte by byte, so that a test can send what a good library would refuse to send.

From a test (everything below may be called from the test's thread; the server has a thread of its own):

    with AriPeer() as peer:                      # peer.url is http://127.0.0.1:PORT/ari
        peer.answer("GET", "/channels", 200, [])         # programs REST; else see DEFAULTS
        session = peer.wait_session("hello")     # a websocket of that application is there
        session.send({"type": "StasisStart", ...})       # dict, str or bytes: sent as one text frame
        session.send_fixture("a22-answer-hangup")        # recorded frames, application renamed
        peer.wait_request("POST", "/channels/c1/answer") # .body, .query, .headers, .at

    session.stall(); session.resume()            # neither reads nor writes: TCP windows fill
    session.ignore_pings()                       # reads, but never pongs
    session.close(1001); session.drop(); session.send_cut({...}, 10)   # close frame; RST; cut in mid-frame
    session.send_raw(b"\\x81\\x05hel")             # any bytes
    peer.handshake = 401                         # 401, 404, 500, or "garbage", "close", "hang"; None = good
    peer.rest_delay = 0.5; peer.rest_drop = True # slow or cut REST
    peer.rest_raw = b"HTTP/1.1 200 OK\\r\\n..."   # these bytes as the answer to every REST request, then the end
    peer.replace("hello")                        # ApplicationReplaced on the old socket, as when it is stolen
    peer.down(); peer.up()                       # the whole server gone and back on the same port
    peer.flood(events=200_000, dialogs=500)      # at full speed; returns seconds taken

    dialler = peer.dial(port, "hello", "second") # as Asterisk 22 does: dials ws://127.0.0.1:port/ari/pbx1
    dialler.send({...})                          # kept while nobody answers; ApplicationRegistered comes after
    dialler.wait_session(); dialler.hang_up(); dialler.refusals    # statuses of handshakes that failed
    peer.rest_by_websocket = False               # RESTRequests are ignored, as by Asterisk 16
    peer.websocket_requests                      # those that came by websocket

From the command line, for benchmarks: `ari_peer.py --port 0 [--script steps.json]`; it prints the URL
as its first line. Steps are a list, one list per step, carried out in order after an application is there:

    [["wait", "hello"], ["send", {"type": "..."}], ["fixture", "a22-playback"], ["sleep", 0.2],
     ["flood", 10000, 100], ["close", 1001], ["drop"]]
"""
import argparse
import asyncio
import base64
import collections
import hashlib
import json
import pathlib
import re
import socket
import struct
import sys
import threading
import time
import urllib.parse

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "ari"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HEADER_MAX = 16384
ENTITY = "02:00:00:00:00:16"

Request = collections.namedtuple("Request", "method path query headers body at")


class AuthError(Exception):
    """The websocket handshake was refused; args[0] is the status."""


def frame(opcode, payload=b"", mask=None, fin=True):
    """One websocket frame (RFC 6455 section 5.2); a client gives a 4-byte mask."""
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    n = len(payload)
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", n)
    if mask:
        head += mask
        payload = unmask(payload, mask)
    return head + payload


def unmask(payload, mask):
    n = len(payload)
    key = int.from_bytes((mask * (n // 4 + 1))[:n], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(n, "big")


async def read_frame(reader):
    """Returns (opcode, payload) of one frame."""
    b0, b1 = await reader.readexactly(2)
    n = b1 & 0x7F
    if n == 126:
        (n,) = struct.unpack(">H", await reader.readexactly(2))
    elif n == 127:
        (n,) = struct.unpack(">Q", await reader.readexactly(8))
    mask = await reader.readexactly(4) if b1 & 0x80 else None
    payload = await reader.readexactly(n)
    return b0 & 0x0F, unmask(payload, mask) if mask else payload


def accept_key(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def to_bytes(message):
    if isinstance(message, bytes):
        return message
    if isinstance(message, str):
        return message.encode()
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def fixture_frames(name, application=None):
    """The recorded frames of tests/fixtures/ari/NAME.jsonl as bytes; the application renamed if given."""
    lines = (FIXTURES / f"{name}.jsonl").read_bytes().splitlines()
    if application is None:
        return lines
    new = b'"application":' + json.dumps(application).encode()
    return [re.sub(rb'"application":"[^"]*"', new, line) for line in lines]


def timestamp():
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000+0000"


def channel(cid, state="Up", name=None, app=None):
    """A channel object as Asterisk 22 writes it."""
    dialplan = {"context": "default", "exten": "8000", "priority": 1, "app_name": "Stasis",
                "app_data": app or ""}
    return {"id": cid, "name": name or f"PJSIP/sipp-{cid}", "state": state, "protocol_id": f"{cid}@127.0.0.1",
            "caller": {"name": "Lab", "number": "1001"}, "connected": {"name": "", "number": ""},
            "accountcode": "", "dialplan": dialplan, "creationtime": timestamp(), "language": "en"}


def event(kind, app, **fields):
    """An event in Asterisk's own order of members: application last."""
    return {"type": kind, "timestamp": timestamp(), **fields, "asterisk_id": ENTITY, "application": app}


def stasis_start(cid, app, args=()):
    return event("StasisStart", app, args=list(args), channel=channel(cid, "Ring", app=app))


def stasis_end(cid, app):
    return event("StasisEnd", app, channel=channel(cid, app=app))


class Session:
    """One event websocket that a client has opened."""

    def __init__(self, peer, reader, writer, apps, query, mask=None):
        self.mask = mask  # a client's frames are masked
        self.peer = peer
        self.reader = reader
        self.writer = writer
        self.apps = apps
        self.query = query
        self.received = []  # (opcode, payload) of data frames from the client
        self.pings = 0
        self.pong = True
        self.close_code = None  # of the client's close frame
        self.ended = threading.Event()
        self.reading = asyncio.Event()
        self.reading.set()

    # ---- for the test's thread
    def send(self, *messages):
        self._do(self._write, b"".join(self.frame(TEXT, to_bytes(m)) for m in messages))

    def frame(self, opcode, payload=b""):
        return frame(opcode, payload, self.mask)

    def send_fixture(self, name, application=None):
        frames = fixture_frames(name, application or self.apps[0])
        self.send(*frames)
        return frames

    def send_raw(self, data):
        self._do(self._write, data)

    def send_cut(self, message, n):
        """The first n bytes of the message's frame, then the connection ends."""
        self._do(self._write, self.frame(TEXT, to_bytes(message))[:n])
        self._do(self.writer.close)

    def ping(self, payload=b""):
        self._do(self._write, self.frame(PING, payload))

    def close(self, code=1000, reason=""):
        self._do(self._write, self.frame(CLOSE, struct.pack(">H", code) + reason.encode()))
        self._do(self.writer.close)

    def drop(self):
        """The connection ends with RST, as when the machine has gone."""
        self._do(self._reset)

    def ignore_pings(self, on=True):
        self.pong = not on

    def stall(self):
        """Nothing is read any more, and nothing answered, until resume()."""
        self._do(self._stall)

    def resume(self):
        self._do(self._resume)

    def wait_end(self, timeout=10):
        if not self.ended.wait(timeout):
            raise TimeoutError("the client has not closed the websocket")

    # ---- in the server's loop
    def _do(self, fn, *args):
        self.peer._call(fn, *args)

    def _write(self, data):
        if not self.ended.is_set():
            self.writer.write(data)

    def _reset(self):
        sock = self.writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def _stall(self):
        self.reading.clear()
        self.writer.transport.pause_reading()

    def _resume(self):
        self.reading.set()
        self.writer.transport.resume_reading()

    async def _run(self):
        try:
            while True:
                opcode, payload = await read_frame(self.reader)
                await self.reading.wait()
                if opcode == PING:
                    self.pings += 1
                    if self.pong:
                        self._write(self.frame(PONG, payload))
                elif opcode == CLOSE:
                    self.close_code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
                    self._write(self.frame(CLOSE, payload[:2]))
                    break
                elif opcode in (TEXT, BINARY):
                    self.received.append((opcode, payload))
                    self.peer._text(self, payload)
                    self.peer._notify()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            self.ended.set()
            self.peer._session_ended(self)
            self.writer.close()


class Dialler:
    """Asterisk's outbound websocket: it dials again and again, and what is sent meanwhile waits."""

    def __init__(self, peer, port, apps, name, username, password, interval):
        self.peer = peer
        self.port = port
        self.apps = list(apps)
        self.target = f"/ari/{name}"
        self.basic = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.interval = interval
        self.waiting = []  # frames that nobody has heard yet
        self.session = None
        self.refusals = []
        self.registers = True
        self.resting = False

    # ---- for the test's thread
    def send(self, *messages):
        self.peer._call(self._send, messages)

    def wait_session(self, timeout=10):
        return self.peer.wait(lambda: self.session, timeout, "nobody answers the dialler")

    def hang_up(self):
        """Ends the connection, and dials no more until dial_on()."""
        self.resting = True
        if self.session:
            self.session.drop()

    def dial_on(self):
        self.resting = False

    # ---- in the loop
    def _send(self, messages):
        if self.session:
            self.session._write(b"".join(self.session.frame(TEXT, to_bytes(m)) for m in messages))
        else:
            self.waiting += messages

    async def _run(self):
        while True:
            if not self.resting:
                try:
                    await self._dial()
                except (OSError, asyncio.IncompleteReadError):
                    pass
            await asyncio.sleep(self.interval)

    async def _dial(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20,
                                                      ssl=self.peer.dial_tls)
        self.peer._writers.add(writer)
        try:
            key = base64.b64encode(b"0123456789abcdef").decode()
            writer.write((f"GET {self.target} HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n"
                          f"Connection: Upgrade\r\nHost: 127.0.0.1:{self.port}\r\n"
                          f"Authorization: Basic {self.basic}\r\nSec-WebSocket-Protocol: ari\r\n"
                          f"Sec-WebSocket-Key: {key}\r\n\r\n").encode())
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if status != 101:
                self.refusals.append(status)
                self.peer._notify()
                return
            await self._serve(reader, writer)
        finally:
            self.peer._writers.discard(writer)
            writer.close()

    async def _serve(self, reader, writer):
        session = Session(self.peer, reader, writer, self.apps, {}, b"\x01\x02\x03\x04")
        if self.registers:
            self.waiting += [event("ApplicationRegistered", app) for app in self.apps]
        session._write(b"".join(session.frame(TEXT, to_bytes(m)) for m in self.waiting))
        self.waiting.clear()
        self.session = session
        self.peer.sessions.append(session)
        self.peer._notify()
        try:
            await session._run()
        finally:
            self.session = None
            self.peer._notify()


class AriPeer:
    """The server. Use it as a context manager, or call start() and stop()."""

    DEFAULTS = {
        ("GET", "/asterisk/ping"): {"asterisk_id": ENTITY, "ping": "pong", "timestamp": ""},
        ("GET", "/asterisk/info"): {
            "system": {"version": "22.10.1", "entity_id": ENTITY},
            "config": {"name": "lab", "default_language": "en"},
            "status": {"startup_time": "2026-01-01T00:00:00.000+0000"},
        },
        ("GET", "/channels"): [],
        ("GET", "/bridges"): [],
    }

    def __init__(self, port=0, username="ari", password="secret", tls=None, dial_tls=None):
        """tls: the ssl.SSLContext of a server that speaks TLS; dial_tls: that of dial()."""
        self.port = port
        self.tls = tls
        self.dial_tls = dial_tls
        self.username = username
        self.password = password
        self.handshake = None
        self.rest_delay = 0  # seconds, or a function of the Request
        self.rest_drop = False
        self.rest_raw = None
        self.requests = []
        self.sessions = []  # all that ever were, oldest first
        self.rest_by_websocket = True
        self.websocket_requests = []
        self.unauthorized = 0
        self.handshakes = 0
        self._live = {}  # application -> Session that owns it
        self._answers = {}
        self._changed = threading.Condition()
        self._writers = set()
        self._tasks = set()
        self._server = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name="ari-peer", daemon=True)

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/ari"

    # ---- life
    def start(self):
        self._thread.start()
        self.up()
        return self

    def stop(self):
        if self._thread.is_alive():
            self.down()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
        if not self._loop.is_running():
            self._loop.close()

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    def up(self):
        """Listens (again), on the same port as before."""
        self._run(self._up())

    def down(self):
        """As when Asterisk dies: nobody listens, every connection ends."""
        self._run(self._down())

    # ---- programming
    def answer(self, method, path, status=200, body=None, headers=None, times=None):
        """Answers METHOD PATH with that; body may be a function of the Request that returns
        (status, body). path may be a regular expression object. times: so often, then as before."""
        with self._changed:
            self._answers.setdefault((method, path), []).append([status, body, headers or {}, times])

    def forget(self, method, path):
        """Takes back what answer() said."""
        with self._changed:
            self._answers.pop((method, path), None)

    def dial(self, port, *apps, name="pbx1", username="pbx1", password="s3cret", interval=0.1):
        """Dials ws://127.0.0.1:port/ari/name for those applications from now on; returns the Dialler."""
        dialler = Dialler(self, port, apps, name, username, password, interval)

        async def begin():
            task = asyncio.ensure_future(dialler._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._run(begin())
        return dialler

    def replace(self, app):
        """Another client takes the application: this is the last that its socket hears."""
        session = self._live.pop(app)
        session.send({"type": "ApplicationReplaced", "timestamp": timestamp(), "asterisk_id": ENTITY,
                      "application": app})

    # ---- waiting
    def wait_session(self, app, timeout=10):
        """The Session that serves the application now."""
        return self.wait(lambda: self._live.get(app), timeout, f"no websocket for application {app}")

    def wait_gone(self, app, timeout=10):
        self.wait(lambda: app not in self._live, timeout, f"application {app} is still connected")

    def wait_request(self, method, path, timeout=10, count=1):
        """The count-th request for METHOD PATH (of all that were made)."""
        def found():
            hits = [r for r in self.requests if r.method == method and r.path == path]
            return hits[count - 1] if len(hits) >= count else None
        return self.wait(found, timeout, f"no {method} {path}; there were "
                         f"{[(r.method, r.path) for r in self.requests][-20:]}")

    def wait(self, question, timeout=10, what="nothing came"):
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                result = question()
                if result:
                    return result
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{what} (waited {timeout} s)")
                self._changed.wait(min(left, 0.5))

    # ---- load
    def flood(self, events, dialogs, app="hello", prefix="flood", ends=True):
        """Sends events over dialogs at full speed: a StasisStart each, ChannelVarset events with a
        running number per dialog (variable "n", value "0", "1", ...), a StasisEnd each. Returns seconds."""
        return self._run(self._flood(events, dialogs, app, prefix, ends), timeout=600)

    async def _flood(self, events, dialogs, app, prefix, ends):
        session = self._live[app]
        ids = [f"{prefix}-{i}" for i in range(dialogs)]
        bodies = [json.dumps(channel(c, app=app), separators=(",", ":")) for c in ids]
        tail = f',"asterisk_id":"{ENTITY}","application":{json.dumps(app)}}}'
        head = f'{{"variable":"n","type":"ChannelVarset","timestamp":"{timestamp()}","value":"'
        start = time.monotonic()
        batch = [frame(TEXT, to_bytes(stasis_start(c, app))) for c in ids]
        for i in range(max(events - dialogs * (2 if ends else 1), 0)):
            text = f'{head}{i // dialogs}","channel":{bodies[i % dialogs]}{tail}'
            batch.append(frame(TEXT, text.encode()))
            if len(batch) >= 256:
                session._write(b"".join(batch))
                batch.clear()
                await session.writer.drain()
        if ends:
            batch += [frame(TEXT, to_bytes(stasis_end(c, app))) for c in ids]
        session._write(b"".join(batch))
        await session.writer.drain()
        return time.monotonic() - start

    # ---- inside
    def _main(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _run(self, coroutine, timeout=10):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def _call(self, fn, *args):
        """Runs fn in the loop and waits, so that two calls of a test keep their order."""
        async def run():
            fn(*args)
        self._run(run())

    def _notify(self):
        with self._changed:
            self._changed.notify_all()

    async def _up(self):
        if self._server is None:
            self._server = await asyncio.start_server(self._client, "127.0.0.1", self.port, limit=1 << 20,
                                                      ssl=self.tls)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _down(self):
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._live.clear()
        self._notify()

    def _session_ended(self, session):
        for app in session.apps:
            if self._live.get(app) is session:
                del self._live[app]
        self._notify()

    async def _client(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            while await self._one_request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _one_request(self, reader, writer):
        """Serves one request; returns whether the connection stays."""
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head[:HEADER_MAX].decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await self._read_body(reader, headers)
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        path = url.path[4:] if url.path.startswith("/ari/") else None
        if path == "/events" and headers.get("upgrade", "").lower() == "websocket":
            await self._websocket(reader, writer, headers, query)
            return False
        if path is None:
            self._respond(writer, 404, {"message": "Resource not found"})
            return True
        return await self._rest(writer, Request(method, path, query, headers, body, time.monotonic()))

    async def _read_body(self, reader, headers):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int((await reader.readline()).split(b";")[0], 16)
                chunk = await reader.readexactly(size + 2)
                if size == 0:
                    return body
                body += chunk[:-2]
        return await reader.readexactly(int(headers.get("content-length", 0)))

    def _authorized(self, headers, query):
        pair = f"{self.username}:{self.password}"
        basic = "Basic " + base64.b64encode(pair.encode()).decode()
        return headers.get("authorization") == basic or query.get("api_key") == pair

    def _respond(self, writer, status, body=None, headers=None):
        data = b"" if body is None else to_bytes(body)
        out = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}"]
        if data:
            out.append("Content-Type: application/json")
        out += [f"{k}: {v}" for k, v in (headers or {}).items()]
        writer.write("\r\n".join(out).encode() + b"\r\n\r\n" + data)

    def _refuse(self, writer):
        self.unauthorized += 1
        self._respond(writer, 401, {"message": "Authentication required"},
                      {"WWW-Authenticate": 'Basic realm="Asterisk REST Interface"'})

    # ---- REST
    async def _rest(self, writer, request):
        if not self._authorized(request.headers, request.query):
            self._refuse(writer)
            self._notify()
            return True
        self.requests.append(request)
        self._notify()
        delay = self.rest_delay(request) if callable(self.rest_delay) else self.rest_delay
        if delay:
            await asyncio.sleep(delay)
        if self.rest_drop:
            writer.transport.abort()
            return False
        if self.rest_raw is not None:
            writer.write(self.rest_raw)
            await writer.drain()
            return False
        status, body, headers = self._lookup(request)
        self._respond(writer, status, body, headers)
        await writer.drain()
        return True

    def _text(self, session, payload):
        """A text frame from the client: a RESTRequest, if this Asterisk knows them."""
        if not self.rest_by_websocket:
            return
        try:
            ask = json.loads(payload)
        except ValueError:
            return
        if not isinstance(ask, dict) or ask.get("type") != "RESTRequest":
            return
        self.websocket_requests.append(ask)
        task = asyncio.ensure_future(self._rest_by_websocket(session, ask))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _rest_by_websocket(self, session, ask):
        uri = ask.get("uri", "")
        url = urllib.parse.urlsplit("/" + uri)
        body = ask.get("message_body", "").encode()
        request = Request(ask.get("method"), url.path, dict(urllib.parse.parse_qsl(url.query)), {}, body,
                          time.monotonic())
        self.requests.append(request)
        if self.rest_delay:
            await asyncio.sleep(self.rest_delay)
        if self.rest_drop:
            session._reset()
            return
        status, answer = (405, {"message": "Invalid method"}) if uri.startswith(("/", "ari/")) else (0, None)
        if not status:
            status, answer, _ = self._lookup(request)
        reply = {"type": "RESTResponse", "transaction_id": ask.get("transaction_id", ""),
                 "request_id": ask.get("request_id", ""), "status_code": status, "reason_phrase": "X",
                 "uri": uri.split("?")[0]}
        if answer is not None:
            reply |= {"content_type": "application/json", "message_body": to_bytes(answer).decode()}
        app = session.apps[0] if session.apps else ""
        session._write(session.frame(TEXT, to_bytes(reply | {"application": app, "timestamp": timestamp(),
                                                             "asterisk_id": ENTITY})))
        self._notify()

    def _lookup(self, request):
        with self._changed:
            for (method, path), answers in self._answers.items():
                hit = path.fullmatch(request.path) if isinstance(path, re.Pattern) else path == request.path
                while method == request.method and hit and answers:
                    status, body, headers, times = answers[-1]
                    if times == 0:
                        answers.pop()
                        continue
                    if times is not None:
                        answers[-1][3] = times - 1
                    if callable(body):
                        status, body = body(request)
                    return status, body, headers
        return self._default(request)

    def _default(self, request):
        known = self.DEFAULTS.get((request.method, request.path))
        if known is not None:
            return 200, known, {}
        app = re.fullmatch(r"/applications/([^/]+)", request.path)
        if app and request.method == "GET":
            name = urllib.parse.unquote(app[1])
            return 200, {"name": name, "channel_ids": [], "bridge_ids": [], "endpoint_ids": [],
                         "device_names": [], "events_allowed": [], "events_disallowed": []}, {}
        if request.method == "GET":
            return 404, {"message": "Resource not found"}, {}
        created = re.fullmatch(r"/(?:channels|bridges)/[^/]+/(play|record|snoop)", request.path)
        if request.method == "POST" and created:
            n = len(self.requests)
            if created[1] == "record":
                return 201, {"name": f"rec-{n}", "format": "wav", "state": "queued",
                             "target_uri": "channel:" + request.path.split("/")[2]}, {}
            return 201, {"id": f"pb-{n}", "media_uri": "sound:x", "state": "queued",
                         "target_uri": "channel:" + request.path.split("/")[2]}, {}
        if request.method == "POST" and request.path == "/bridges":
            return 200, {"id": f"br-{len(self.requests)}", "channels": [], "bridge_type": "mixing"}, {}
        if request.method == "POST" and request.path == "/channels":
            return 200, channel(f"ch-{len(self.requests)}", "Down"), {}
        return 204, None, {}

    # ---- websocket
    async def _websocket(self, reader, writer, headers, query):
        self.handshakes += 1
        fault = self.handshake
        if fault == "hang":
            self._notify()
            await reader.read()
            return
        if fault == "close":
            return
        if fault == "garbage":
            writer.write(b"\x00\x01SSH-2.0-not_http\r\n\r\n")
            await writer.drain()
            return
        if isinstance(fault, int):
            self._respond(writer, fault, {"message": "no"})
            self._notify()
            return
        if not self._authorized(headers, query):
            self._refuse(writer)
            self._notify()
            return
        apps = [a for a in query.get("app", "").split(",") if a]
        if not apps or "sec-websocket-key" not in headers:
            self._respond(writer, 400, {"message": "HTTP request is missing param: [app]"})
            return
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Accept: " + accept_key(headers["sec-websocket-key"])]
        if "ari" in [p.strip() for p in headers.get("sec-websocket-protocol", "").split(",")]:
            lines.append("Sec-WebSocket-Protocol: ari")
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        session = Session(self, reader, writer, apps, query)
        with self._changed:
            self.sessions.append(session)
            for app in apps:
                old = self._live.get(app)
                if old is not None:
                    old._write(frame(TEXT, to_bytes(event("ApplicationReplaced", app))))
                self._live[app] = session
            self._changed.notify_all()
        await session._run()


class WsClient:
    """The other end, blocking, for tests of a server that speaks websocket (and of this peer)."""

    def __init__(self, port, target, username="ari", password="secret", protocol="ari", timeout=10):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.file = self.sock.makefile("rb")
        basic = base64.b64encode(f"{username}:{password}".encode()).decode()
        key = base64.b64encode(b"0123456789abcdef").decode()
        self.sock.sendall((f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                           f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                           f"Sec-WebSocket-Protocol: {protocol}\r\nAuthorization: Basic {basic}\r\n\r\n").encode())
        status = self.file.readline()
        headers = {}
        while (line := self.file.readline().strip()):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if b" 101 " not in status:
            raise AuthError(int(status.split()[1]) if status.startswith(b"HTTP/1.1 ") else 0)
        if headers["sec-websocket-accept"] != accept_key(key):
            raise AuthError(101)
        self.headers = headers

    def send(self, opcode, payload=b""):
        self.sock.sendall(frame(opcode, payload, mask=b"\x01\x02\x03\x04"))

    def recv(self):
        """(opcode, payload) of the next frame; (None, b"") at the end of the stream."""
        head = self.file.read(2)
        if len(head) < 2:
            return None, b""
        n = head[1] & 0x7F
        if n == 126:
            (n,) = struct.unpack(">H", self.file.read(2))
        elif n == 127:
            (n,) = struct.unpack(">Q", self.file.read(8))
        payload = self.file.read(n)
        return (head[0] & 0x0F, payload) if len(payload) == n else (None, b"")

    def close(self):
        self.file.close()
        self.sock.close()


def play(peer, steps):
    """Carries out the steps of a script file, see the top of this file."""
    session = app = None
    for name, *args in steps:
        if name == "wait":
            app, session = args[0], peer.wait_session(args[0], args[1] if len(args) > 1 else 60)
        elif name == "send":
            session.send(*args)
        elif name == "fixture":
            session.send_fixture(args[0], app)
        elif name == "sleep":
            time.sleep(args[0])
        elif name == "flood":
            took = peer.flood(args[0], args[1], app)
            print(f"flood events={args[0]} dialogs={args[1]} seconds={took:.3f}", flush=True)
        elif name == "close":
            session.close(*args)
        elif name == "drop":
            session.drop()
        else:
            sys.exit(f"ari_peer: no step {name!r}")


def main():
    options = argparse.ArgumentParser(description="a scripted ARI peer")
    options.add_argument("--port", type=int, default=0, help="0 = drawn (default)")
    options.add_argument("--username", default="ari")
    options.add_argument("--password", default="secret")
    options.add_argument("--script", help="JSON file of steps; without it the peer serves until it is ended")
    args = options.parse_args()
    with AriPeer(args.port, args.username, args.password) as peer:
        print(peer.url, flush=True)
        try:
            if args.script:
                play(peer, json.loads(pathlib.Path(args.script).read_text()))
            else:
                threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
