# SPDX-License-Identifier: MIT
"""Publishing from outside: bodies of all kinds, repetitions over kill -9, signatures behind a proxy, limits."""
import base64
import gzip
import hashlib
import hmac
import json
import socket

import pytest

import harness

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def bus(daemon):
    d = daemon()
    d.wait_ready()
    return d, d.pubsub()


def with_bus(daemon, http=None, **keys):
    d = daemon({"buses": [dict({"type": "longpoll", "name": "http", "account": harness.SID}, **keys)]})
    if http:
        text = json.loads(d.config_path.read_text())
        text["http"].update(http)
        d.config_path.write_text(json.dumps(text))
        d.restart()
    d.wait_ready()
    return d, d.pubsub()


def post(p, queue, body, headers, **query):
    return p.request("POST", p.target(queue, **query), body, headers)


def problem(answer, status, piece):
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert piece in json.loads(answer.body)["detail"], answer.body


def test_bodies_of_all_kinds(bus):
    _, p = bus
    multipart = (b"--x\r\nContent-Disposition: form-data; name=\"CallSid\"\r\n\r\nCA1\r\n"
                 b"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.bin\"\r\n"
                 b"Content-Type: application/octet-stream\r\n\r\n\x00\xff\r\n--x--\r\n")
    sent = [
        (multipart, {"Content-Type": "multipart/form-data; boundary=x"}),
        (gzip.compress(b"Body=packed"), {"Content-Type": FORM, "Content-Encoding": "gzip"}),
        (b'{ "n": 1.10 }', {"Content-Type": "application/json"}),
        (b"\xff\x00", {"Content-Type": "image/png"}),
        (b"", {}),
    ]
    for body, headers in sent:
        assert post(p, "q", body, headers).status == 200
    assert p.request("PUT", p.target("q"), b"by=PUT", {"Content-Type": FORM}).status == 200
    got = p.poll("q")
    assert got[0]["FormParams"] == {"CallSid": "CA1"}
    assert got[0]["Files"] == [{"Name": "f", "Filename": "a.bin", "ContentType": "application/octet-stream",
                                "Base64": base64.b64encode(b"\x00\xff").decode()}]
    assert got[1]["FormParams"] == {"Body": "packed"}
    assert got[2]["Json"] == {"n": 1.1}
    assert got[3]["BodyBase64"] == "/wA="
    assert got[4]["FormParams"] == {} and "Body" not in got[4]
    assert got[5]["FormParams"] == {"by": "PUT"}


def test_what_can_not_be_read_is_refused(bus):
    _, p = bus
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    problem(post(p, "q", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1", kind), 400, "cut off")
    problem(post(p, "q", b"a", {"Content-Type": "multipart/form-data"}), 400, "boundary")
    problem(post(p, "q", b"a=1", {"Content-Encoding": "gzip"}), 400, "gzip")
    problem(post(p, "q", gzip.compress(bytes(300000)), {"Content-Encoding": "gzip"}), 413, "262144 bytes")
    refused = post(p, "q", b"a=1", {"Content-Encoding": "br"})
    problem(refused, 415, "gzip or identity")
    assert refused.headers["accept-encoding"] == "gzip, identity"
    problem(post(p, "q", b"a=1", {"X-Ttl": "soon"}), 400, "X-Ttl")
    problem(post(p, "q", b"a=1", {}, durability="none"), 400, "durability")
    assert p.poll("q", timeout=0) == []


def test_expect_100_continue_is_answered_before_the_body(bus):
    d, p = bus
    with socket.create_connection(("127.0.0.1", d.http_port), timeout=10) as s:
        s.sendall(f"POST {p.target('q')} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                  "Expect: 100-continue\r\nContent-Type: text/plain\r\n\r\n".encode())
        assert s.recv(1000).startswith(b"HTTP/1.1 100 ")
        s.sendall(b"hi")
        assert s.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert p.poll("q")[0]["Body"] == "hi"


def test_time_to_live_holds_over_a_restart(bus):
    d, p = bus
    assert post(p, "q", b"short", {"X-Ttl": "300ms"}).status == 200
    assert post(p, "q", b"long", {}).status == 200
    d.kill()
    d.start()
    d.wait_ready()
    harness.time.sleep(0.4)
    assert [m["Body"] for m in p.poll("q")] == ["long"]


@pytest.mark.parametrize("headers, again", [
    ({"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}),
    ({"X-Twilio-Attempt": "1"}, {"X-Twilio-Attempt": "2"}),
])
def test_repetition_is_known_after_kill_9(bus, headers, again):
    d, p = bus
    first = post(p, "q", b"a=1", dict(headers, **{"Content-Type": FORM}))
    assert first.status == 200
    # What follows it is durable, and so is the memory of it.
    assert post(p, "r", b"x", {}).status == 200
    assert [m["Id"] for m in p.poll("q")] == [first.headers["x-message-id"]]
    d.kill()
    d.start()
    d.wait_ready()
    second = post(p, "q", b"a=1", dict(again, **{"Content-Type": FORM}))
    assert second.status == 200 and second.headers["x-message-id"] == first.headers["x-message-id"]
    assert all(m["Id"] == first.headers["x-message-id"] for m in p.poll("q", timeout=0.2))
    plain = {"Content-Type": FORM}
    ids = {post(p, "q", b"a=1", plain).headers["x-message-id"] for _ in range(3)}
    assert len(ids) == 3


def sign(url, **params):
    text = url + "".join(k + v for k, v in sorted(params.items()))
    return base64.b64encode(hmac.new(harness.TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()


def test_signature_is_over_the_public_url(daemon):
    d, p = with_bus(daemon, {"public_url": "https://vb.example.com"}, publish="signed")
    url = "https://vb.example.com" + p.target("q", a=1)
    kind = {"Content-Type": FORM}
    good = dict(kind, **{"X-Twilio-Signature": sign(url, To="+1")})
    assert post(p, "q", b"To=%2B1", good, a=1).status == 200
    problem(post(p, "q", b"To=%2B1", kind, a=1), 401, "signature is missing")
    problem(post(p, "q", b"To=%2B2", good, a=1), 403, url)
    problem(post(p, "q", b"To=%2B1", good, session="s3cret"), 403, "session=***")
    d.expect_log("signature refused")
    assert d.wait_log("signature refused")["url"] == url
    assert "s3cret" not in d.output and harness.TOKEN not in d.output


def test_signature_behind_a_trusted_proxy(daemon):
    d, p = with_bus(daemon, {"trusted_proxies": ["127.0.0.1"]}, publish="signed-or-session")
    signed = {"Content-Type": FORM, "X-Zang-Signature": sign("https://out.example.com" + p.target("q"), a="1")}
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "out.example.com"}
    assert post(p, "q", b"a=1", dict(signed, **forwarded)).status == 200
    assert post(p, "q", b"a=1", {"Authorization": p.session}).status == 200
    d.expect_log("signature refused")
    problem(post(p, "q", b"a=1", signed), 403, f"http://127.0.0.1:{d.http_port}/")


def test_rate_and_quota(daemon):
    _, p = with_bus(daemon, rate=1, burst=5)
    answers = [post(p, "q", b"x", {}) for _ in range(8)]
    assert [a.status for a in answers[:5]] == [200] * 5
    refused = [a for a in answers if a.status != 200]
    assert refused and refused[0].headers["retry-after"] == "1"
    problem(refused[0], 429, "rate of the bus")

    _, p = with_bus(daemon, quota="4KiB")
    for _ in range(40):
        answer = post(p, "q", b"x" * 100, {})
        if answer.status != 200:
            break
    problem(answer, 507, "quota of the bus")
    while p.poll("q", timeout=0.2):
        pass
    harness.wait_until(lambda: post(p, "q", b"x", {}).status == 200, what="reading makes room")


def test_relaxed_is_there_at_once(bus):
    _, p = bus
    ids = [post(p, "q", b"x", {}, durability="relaxed").headers["x-message-id"] for _ in range(5)]
    assert [m["Id"] for m in p.poll("q")] == ids
