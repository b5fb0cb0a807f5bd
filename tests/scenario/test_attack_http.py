# SPDX-License-Identifier: MIT
"""The public HTTP server against a hostile client: whatever comes, the daemon lives, says what it must, and
serves the next one."""
import os
import select
import socket
import struct
import threading
import time

import pytest

import harness
from harness import SID, wait_until
from hostile import Q, REFUSED, raw, read_all, statuses


@pytest.fixture
def bus(daemon):
    d = daemon()
    d.wait_ready()
    return d, d.pubsub()


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def post(queue, body, *headers):
    return "\r\n".join([f"POST /{SID}/{queue} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers, "",
                        body]).encode()


def test_what_is_no_request_is_refused_and_closed(bus):
    d, p = bus
    _ = p.session
    for what, data in REFUSED:
        answer = raw(d, data)
        got = statuses(answer)
        assert len(got) == 1 and 400 <= got[0] < 600 and got[0] != 500, (what, answer[:300])
        assert b"problem+json" in answer and b"Connection: close" in answer, (what, answer[:300])
    assert p.poll("q", timeout=0) == [], "nothing of it was taken for a message"


def test_a_request_cut_anywhere_leaves_nothing(bus):
    d, p = bus
    _ = p.session
    good = post("cut", "x" * 40, "Content-Type: text/plain", "Connection: close")
    for n in range(0, len(good), 3):
        raw(d, good[:n], shut=True)
    chunked = (b"POST /" + SID.encode() + b"/cut HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n")
    for n in range(0, len(chunked) - 1, 2):
        with socket.create_connection(("127.0.0.1", d.http_port)) as s:
            s.sendall(chunked[:n])
            reset(s)
    assert p.poll("cut", timeout=0) == []
    assert statuses(raw(d, good)) == [200] and len(p.poll("cut")) == 1
    wait_until(lambda: len(os.listdir(f"/proc/{d.pid}/fd")) < 60)


def test_one_byte_at_a_time(bus):
    d, p = bus
    _ = p.session
    data = (b"POST /" + SID.encode() + b"/slow HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\nContent-Type: text/plain\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n")
    with socket.create_connection(("127.0.0.1", d.http_port)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            s.sendall(bytes([byte]))
            time.sleep(0.001)
        assert statuses(read_all(s)) == [200]
    assert p.poll("slow")[0]["Body"] == "hello"


def test_a_flood_of_pipelined_requests_is_answered_in_order(bus):
    d, p = bus
    n = 10000
    head = f"HEAD /{SID}/q HTTP/1.1\r\nHost: h\r\nAuthorization: {p.session}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", d.http_port), 30) as s:
        sender = threading.Thread(target=lambda: s.sendall(head * n), daemon=True)
        sender.start()
        seen, tail = 0, b""
        while seen < n:
            piece = s.recv(1 << 20)
            assert piece, f"closed after {seen}"
            data = tail + piece
            seen += data.count(b"HTTP/1.1 200 ")
            tail = data[-12:] if not data.endswith(b"HTTP/1.1 200 ") else b""
        sender.join(5)
    assert d.ready()


def test_clients_that_never_read_stop_themselves(bus):
    d, p = bus
    for i in range(40):
        assert p.post("big", "x" * 100000, "text/plain").status == 200
    ask = f"GET /{SID}/big?max=100 HTTP/1.1\r\nHost: h\r\nAuthorization: {p.session}\r\n\r\n".encode()
    socks = []
    for _ in range(20):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", d.http_port))
        s.setblocking(False)
        try:
            while s.send(ask * 100):
                pass
        except BlockingIOError:
            pass
        socks.append(s)
    time.sleep(0.3)
    rss = d.metrics()["voxbus_process_resident_memory_bytes"]
    assert d.ready() and rss < 400e6
    for s in socks:
        reset(s)
    assert p.post("other", "x", "text/plain").status == 200 and len(p.poll("other", timeout=3)) == 1


def test_thousands_of_half_open_connections(bus):
    d, p = bus
    _ = p.session
    starts = [b"", b"G", b"GET / HTTP/1.1\r\nHo", post("q", "xxxxx")[:-3]]
    socks = []
    for i in range(2000):
        s = socket.create_connection(("127.0.0.1", d.http_port))
        if starts[i % 4]:
            s.sendall(starts[i % 4])
        socks.append(s)
    began = time.monotonic()
    assert p.post("other", "x", "text/plain").status == 200
    assert time.monotonic() - began < 2
    fds = len(os.listdir(f"/proc/{d.pid}/fd"))
    assert fds > 2000
    for i, s in enumerate(socks):
        reset(s) if i % 2 else s.close()
    wait_until(lambda: len(os.listdir(f"/proc/{d.pid}/fd")) < 60)
    assert p.poll("q", timeout=0) == []


def test_many_parked_polls_closed_at_once(bus):
    d, p = bus
    _ = p.session
    polls = []
    for i in range(4000):
        s = socket.create_connection(("127.0.0.1", d.http_port))
        s.sendall(f"GET /{SID}/park{i % 7}?timeout=60s HTTP/1.1\r\nHost: h\r\nAuthorization: {p.session}\r\n\r\n".encode())
        polls.append(s)
    waiting = [m for m in d.metrics() if "wait" in m or "poll" in m]
    wait_until(lambda: max(d.metrics()[m] for m in waiting if "total" not in m) >= 4000, what=str(waiting))
    for i, s in enumerate(polls):
        reset(s) if i % 3 else s.close()
    wait_until(lambda: len(os.listdir(f"/proc/{d.pid}/fd")) < 60)
    for i in range(7):
        assert p.post(f"park{i}", "x", "text/plain").status == 200
        assert len(p.poll(f"park{i}", timeout=3)) == 1


def test_names_that_try_to_be_something_else(bus):
    d, p = bus
    s = p.session
    dialog_topics = ["/events%5fx", "//events_x", "/%65vents_x", "/./events_x", "/responses_%78/"]
    for path in dialog_topics:
        answer = p.request("POST", f"/{SID}{path}", b"{}")
        assert answer.status in (400, 401, 404), (path, answer)
        answer = p.request("GET", f"/{SID}{path}?timeout=0")
        assert answer.status in (400, 401, 404), (path, answer)
    for path in ("/a%00b", "/%2e%2e/x", "/..%2fx", "/a%0d%0ab", "/%ff", "/%", "/%g1", "/a%7f", "/" + "a" * 1025,
                 "/%c0%ae%c0%ae/x", "/%2e"):
        answer = p.request("POST", f"/{SID}{path}", b"x")
        assert answer.status in (400, 404), (path, answer)
    for target in (f"/{SID}%2fq", f"/%41{SID[1:]}/q", f"/{SID.lower()}/q", "/auth/../" + SID + "/q", "//", "/..", "/*"):
        assert p.request("GET", target + "?timeout=0").status in (400, 401, 404), target
    for token in ("", " ", "x" * 4000, s[:-1], s + "0", s.upper(), "%00", s + "%00", s + "&session=" + s):
        assert p.request("GET", f"/{SID}/q?timeout=0&session={token}".replace(" ", "+")).status == 401 or \
            token.startswith(s + "&"), token
    for value in ("Basic", "Basic ", "Basic =", "Basic ====", "Basic !!!!", "Basic " + "QQ" * 3000, "Basic Og==",
                  "Basic QUM6AA==", "Bearer", "Bearer  ", "Digest a=b", "basic Og==", "Basic\tOg=="):
        answer = p.request("GET", f"/{SID}/q?timeout=0", headers={"Authorization": value})
        assert answer.status == 401, (value, answer)


def test_every_method_on_every_path(bus):
    d, p = bus
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "PROPFIND", "M-SEARCH"):
        for path in ("/", "/auth", f"/{SID}", f"/{SID}/q?timeout=0", f"/{SID}/events_x?timeout=0",
                     f"/{SID}/commands_x", f"/{SID}/hello?timeout=0", "/nobody/q", "/metrics", "/api/status", "/healthz"):
            data = f"{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: {p.session}\r\nConnection: close\r\n\r\n"
            if path == "/auth":
                data = data.replace(p.session, "none")
            answer = raw(d, data.encode())
            got = statuses(answer)
            assert len(got) == 1 and got[0] < 500 or got[0] in (501,), (method, path, answer[:200])
            if method == "HEAD":
                assert answer.endswith(b"\r\n\r\n"), (path, answer)
            assert method == "OPTIONS" or path not in ("/metrics", "/api/status", "/healthz") or got[0] >= 400
    upgrade = (f"GET /{SID}/q?timeout=0 HTTP/1.1\r\nHost: h\r\nAuthorization: {p.session}\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
    assert statuses(raw(d, upgrade.encode(), 1)) == [101]  # a feed of the queue
    assert statuses(raw(d, upgrade.replace("websocket", "h2c").encode(), 1)) == [200]


def test_bodies_that_are_hostile_json_are_kept_or_refused(bus):
    d, p = bus
    _ = p.session
    bodies = [b"[" * 100000, b'{"a":' * 30000, b'{"a":1e999999}', b'{"a":' + b"9" * 200000 + b"}", b'"\\ud800"',
              b'{"a":"\\u0000"}', b"\x00" * 1000, b"\xff\xfe", b'{"a":1,"a":2}', b"nul", b""]
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", "x/y; charset=\"", ""):
        for body in bodies:
            answer = p.post("json", body.decode("latin-1").encode("latin-1"), kind, session=False)
            assert answer.status in (200, 400, 413), (kind, body[:20], answer)
            commands = p.post("commands_x", body, kind)
            assert commands.status in (400, 404, 200), (kind, body[:20], commands)
    for _ in range(60):
        answer = p.request("GET", p.target("json", session=p.session, timeout=0, max=100))
        assert answer.status == 200
        if answer.body == b"[]\n":
            return
    raise AssertionError("it does not end")


def test_wrong_passwords_are_limited_whatever_the_path(bus):
    d, p = bus
    seen = []
    for i in range(30):
        path = ("/auth", f"/{SID}/q?timeout=0", f"/{SID}/events_x", f"/{SID}/commands_x")[i % 4]
        answer = p.request("POST" if i % 4 == 3 else "GET", path, headers={
            "Authorization": "Basic " + harness.base64.b64encode(f"{SID}:w{i}".encode()).decode(),
            "X-Forwarded-For": f"10.0.0.{i}", "Forwarded": f"for=10.0.0.{i}"})
        seen.append(answer.status)
    assert set(seen[:20]) == {401} and set(seen[20:]) == {429}, seen
    assert "retry-after" in answer.headers


def test_bodies_that_dribble_are_cut(bus):
    d, _ = bus
    with socket.create_connection(("127.0.0.1", d.http_port)) as s:
        s.sendall(b"POST " + Q + b" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        began = time.monotonic()
        out = b""
        while time.monotonic() - began < 12:
            try:
                s.sendall(b"1;x\r\na\r\n")
            except OSError:
                break
            ready, _, _ = select.select([s], [], [], 0.2)
            if ready:
                out = s.recv(4096)
                break
        assert statuses(out) == [408]
