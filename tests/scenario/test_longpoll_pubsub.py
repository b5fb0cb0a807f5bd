# SPDX-License-Identifier: MIT
"""The long-poll bus from outside: sessions, publishing, polling, everything wrong, and kill -9 in between."""
import base64
import http.client
import json
import socket
import threading
import time

import pytest

import harness


@pytest.fixture
def bus(daemon):
    d = daemon()
    d.wait_ready()
    return d, d.pubsub()


def basic(sid, token):
    return {"Authorization": "Basic " + base64.b64encode(f"{sid}:{token}".encode()).decode()}


def test_publish_wakes_the_poll(bus):
    _, p = bus
    got = []
    poller = threading.Thread(target=lambda: got.extend(p.poll("SMS", timeout=10)))
    _ = p.session
    poller.start()
    time.sleep(0.2)
    began = time.monotonic()
    answer = p.post("SMS", "To=%2B1&Body=a+b&AccountSid=X", "application/x-www-form-urlencoded", session=False)
    assert answer.status == 200 and answer.body == b"" and answer.headers["x-message-id"]
    poller.join(5)
    assert time.monotonic() - began < 2
    assert got[0]["FormParams"] == {"AccountSid": "X", "Body": "a b", "To": "+1"}
    assert got[0]["AccountSid"] == "X" and got[0]["Hostname"] == "127.0.0.1"
    assert got[0]["Url"] == f"/{harness.SID}/SMS"
    assert got[0]["Id"] == answer.headers["x-message-id"]
    assert list(got[0]) == ["Hostname", "AccountSid", "Url", "FormParams", "Created", "Id"]


def test_answer_is_a_list_of_lines(bus):
    _, p = bus
    for text in ("a", "b"):
        p.post("q", text, "text/plain", session=False)
    raw = p.request("GET", p.target("q", session=p.session)).body
    lines = raw.decode().split("\n")
    assert lines[0] == "[" and lines[1].endswith("},") and lines[3:] == ["]", ""]
    assert [json.loads(line.rstrip(","))["Body"] for line in lines[1:3]] == ["a", "b"]
    assert p.request("GET", p.target("q", session=p.session, timeout="100ms")).body == b"[]\n"


def test_eleven_messages_are_ten_and_one(bus):
    _, p = bus
    for i in range(11):
        assert p.post("q", str(i), "text/plain", session=False).status == 200
    assert [m["Body"] for m in p.poll("q")] == [str(i) for i in range(10)]
    assert [m["Body"] for m in p.poll("q")] == ["10"]
    assert p.poll("q", timeout=0) == []
    for _ in range(3):
        p.post("q", "x", "text/plain", session=False)
    created = [m["Created"] for m in p.poll("q")]
    assert created == sorted(set(created))


@pytest.mark.parametrize("rounds", [30])
def test_queue_that_empties_begins_anew(bus, rounds):
    d, p = bus
    for i in range(rounds):
        assert p.post("q", str(i), "text/plain", session=False).status == 200
        assert [m["Body"] for m in p.poll("q", timeout=5)] == [str(i)]
    # At least once: what was read in the last moment before a kill -9 may come again, nothing older.
    d.kill()
    d.start()
    assert [m["Body"] for m in p.poll("q", timeout=0.2)] in ([], [str(rounds - 1)])
    d.restart()
    assert p.poll("q", timeout=0.2) == []


def test_acknowledged_message_survives_kill_9(bus):
    d, p = bus
    _ = p.session
    for i in range(5):
        assert p.post("q", f"m{i}", "text/plain", session=False).status == 200
    d.kill()
    d.start()
    assert [m["Body"] for m in p.poll("q")] == [f"m{i}" for i in range(5)], "the session survives, too"
    d.kill()
    d.start()
    assert p.post("q", "after", "text/plain", session=False).status == 200
    assert p.poll("q")[-1]["Body"] == "after"


def test_message_of_a_client_that_goes_is_given_to_the_next(bus):
    d, p = bus
    head = f"GET {p.target('q', session=p.session)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    gone = socket.create_connection(("127.0.0.1", d.http_port))
    gone.sendall(head)
    time.sleep(0.2)
    gone.close()
    time.sleep(0.1)
    p.post("q", "m", "text/plain", session=False)
    assert [m["Body"] for m in p.poll("q")] == ["m"]


def test_pollers_share_a_queue(bus):
    _, p = bus
    _ = p.session
    got, lock = [], threading.Lock()

    def poll():
        for m in p.poll("q", timeout=10, max=1):
            with lock:
                got.append(m["Body"])

    threads = [threading.Thread(target=poll) for _ in range(20)]
    for t in threads:
        t.start()
    for i in range(20):
        p.post("q", str(i), "text/plain", session=False)
    for t in threads:
        t.join(10)
    assert sorted(got, key=int) == [str(i) for i in range(20)]


def test_everything_wrong_is_said(bus):
    d, p = bus
    s = p.session
    sid = harness.SID
    events = "/" + sid + "/events_x"
    cases = [
        ("GET", "/auth", {}, None, 401, "sid and token"),
        ("GET", "/auth", basic(sid, "wrong"), None, 401, "sid and token"),
        ("GET", "/auth?ttl=never", basic(sid, harness.TOKEN), None, 400, "ttl"),
        ("PATCH", "/auth", {}, None, 405, "GET, POST"),
        ("GET", f"/{sid}/q", {}, None, 401, "session is missing"),
        ("GET", f"/{sid}/q?session=nope", {}, None, 401, "expired"),
        ("GET", f"/{sid}/q?session={s}&timeout=soon", {}, None, 400, "timeout"),
        ("GET", f"/{sid}/q?session={s}&max=1000", {}, None, 400, "max"),
        ("GET", f"/{sid}/a/../q?session={s}", {}, None, 400, ".."),
        ("GET", f"/{sid}/%ff?session={s}", {}, None, 400, "UTF-8"),
        ("GET", f"/{sid}", {}, None, 404, "queue"),
        ("POST", "/ACnobody/q", {}, b"x", 404, "account"),
        ("PATCH", f"/{sid}/q", {}, None, 405, "GET, HEAD, POST, PUT, DELETE"),
        ("DELETE", f"/{sid}/q?session={s}", {}, None, 400, "?id="),
        ("DELETE", f"/{sid}/q?id=x", {}, None, 401, "session is missing"),
        ("POST", f"/{sid}/q", {}, b"x" * 300000, 413, ""),
        ("POST", events, {}, b"{}", 401, "session"),
        ("POST", events, {"Authorization": s}, b"{}", 403, "only voxbus writes"),
        ("GET", f"/{sid}/commands_x", {"Authorization": f"Bearer {s}"}, None, 403, "responses_"),
        ("POST", f"/{sid}/commands_x", {"Authorization": s}, b"{", 400, "JSON"),
        ("POST", f"/{sid}/commands_x", {"Authorization": s}, b'{"url":"/channels"}', 400, "method"),
        ("POST", f"/{sid}/commands_x", {"Authorization": s}, b'{"url":"/channels","method":"GET"}', 404, "ended"),
    ]
    for method, target, headers, body, status, detail in cases:
        connection = http.client.HTTPConnection("127.0.0.1", d.http_port, timeout=10)
        answer = harness.http_request(connection, method, target, body, headers)
        assert answer.status == status, (method, target, answer)
        assert answer.headers["content-type"] == "application/problem+json", (method, target)
        problem = json.loads(answer.body)
        assert problem["status"] == status and detail in problem["detail"], (method, target, problem)
        assert s not in answer.body.decode()
    assert s not in d.output and harness.TOKEN not in d.output


def test_session_and_its_text_are_nowhere_on_disk(bus):
    d, p = bus
    s = p.session
    p.post("q", "x", "text/plain")
    d.stop()
    for path in d.data_dir.rglob("*"):
        if path.is_file():
            assert s.encode() not in path.read_bytes(), path


def test_stop_answers_who_waits(bus):
    d, p = bus
    got = []
    _ = p.session
    poller = threading.Thread(target=lambda: got.append(p.poll("q", timeout=20)))
    poller.start()
    time.sleep(0.3)
    d.stop()
    poller.join(5)
    assert got == [[]]
