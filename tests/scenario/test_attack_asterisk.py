# SPDX-License-Identifier: MIT
"""An Asterisk that is broken or hostile, and commands that try to be more than that: each fault is said once,
calls go on afterwards, every command gets a definite answer."""
import json
import time

import pytest

import harness
from ari_peer import BINARY, PING, TEXT, channel, event, frame, stasis_end, stasis_start
from harness import applications, ari_engine, wait_until


def config(peer, *apps, **engine):
    apps = apps or ("hello",)
    return {"engines": [ari_engine(peer.url, *apps, **engine)], "applications": applications(*apps)}


def call_works(d, peer, cid):
    session = peer.wait_session("hello")
    session.send(stasis_start(cid, "hello"))
    dialog = d.pubsub().wait_dialog("hello")
    assert dialog.wait_event("StasisStart")["channel"]["id"] == cid
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
    session.send(stasis_end(cid, "hello"))
    dialog.wait_event("StasisEnd")
    return dialog


def drain(d):
    """Takes the announcements that are there."""
    return d.pubsub().poll("hello", timeout=0.5, max=100)


HOSTILE_EVENTS = [
    b"null", b"true", b"-", b'"', b"\x00", b"[" * 200000, b'{"type":' * 50000, b'{"type":"StasisStart"}',
    b'{"type":"StasisStart","channel":null,"application":"hello"}',
    b'{"type":"StasisStart","channel":"c","application":"hello"}',
    b'{"type":"StasisStart","channel":{"id":null},"application":"hello"}',
    b'{"type":"StasisStart","channel":{"id":""},"application":"hello"}',
    b'{"type":"StasisStart","channel":{"id":7},"application":"hello"}',
    b'{"type":"StasisStart","channel":{"id":["x"]},"application":"hello"}',
    b'{"type":"StasisStart","channel":{"id":"\\ud800"},"application":"hello"}',
    b'{"type":"StasisStart","channel":{"id":"a"},"application":["hello"]}',
    b'{"type":"StasisStart","channel":{"id":"a"},"application":"nobody"}',
    b'{"type":"","channel":{"id":"a"},"application":"hello"}',
    b'{"type":"' + b"T" * 100000 + b'","channel":{"id":"a"},"application":"hello"}',
    b'{"type":"A\\u0000B","channel":{"id":"a"},"application":"hello"}',
    b'{"type":"ApplicationReplaced","application":"nobody"}',
    b'{"type":"ChannelVarset","channel":{"id":"' + b"c" * 5000 + b'"},"application":"hello"}',
    b'{"type":"BridgeMerged","bridge":{},"bridge_from":[],"application":"hello"}',
    b'{"type":"PlaybackStarted","playback":{"id":"p","target_uri":"' + b":" * 5000 + b'"},"application":"hello"}',
    b'{"type":"PlaybackFinished","playback":{"id":"p","target_uri":7},"application":"hello"}',
    b'{"type":"BridgeCreated","bridge":{"id":"b","channels":[' + b'"x",' * 20000 + b'"x"]},"application":"hello"}',
    b'{"type":"Dial","peer":{"id":"p"},"caller":{"id":"p"},"forwarded":{"id":"p"},"application":"hello"}',
    b'{"type":"X","type":"StasisEnd","channel":{"id":"a"},"channel":{"id":"b"},"application":"hello"}',
]


def test_hostile_events_are_counted_and_the_link_stays(daemon, ari_peer):
    d = daemon(config(ari_peer))
    d.expect_log("bad event")
    d.wait_ready()
    session = ari_peer.wait_session("hello")
    for bad in HOSTILE_EVENTS:
        session.send(bad)
    d.wait_log("bad event")
    opened = [json.loads(e["ari_body"])["channel"]["id"] for start in drain(d)
              for e in d.pubsub().poll(f"events_{start['dialog_id']}", max=100) if e["type"] == "StasisStart"]
    assert set(opened) == {"\ud800", "a"}, "what has an id is a call, however odd"
    call_works(d, ari_peer, "c1")
    assert len(ari_peer.sessions) == 1, "the link was lost"
    assert len(d.events("bad event")) <= 1


def test_ids_may_hold_anything(daemon, ari_peer):
    d = daemon(config(ari_peer))
    d.expect_log("bad event")
    d.wait_ready()
    session = ari_peer.wait_session("hello")
    ids = ["a\u0000b", "\"\\\n\t", "../..", "x" * 1000, "\u00e9\u20ac\U0001f600", "%00%2f", "a b", "{}", "events_x", "\x7f",
           "a=b c=\"d"]
    for cid in ids:
        session.send(json.dumps(stasis_start(cid, "hello")))
        dialog = d.pubsub().wait_dialog("hello")
        assert dialog.wait_event("StasisStart")["channel"]["id"] == cid
        d.cli("calls")
        assert d.admin("GET", "/api/calls").status == 200
        json.loads(d.admin("GET", "/api/calls").body)
        session.send(json.dumps(stasis_end(cid, "hello")))
        dialog.wait_event("StasisEnd")


def test_a_channel_that_cannot_be_kept_leaves_no_dialog_for_ever(daemon, ari_peer):
    d = daemon({**config(ari_peer), "dialogs": {"linger": "1s"}})
    d.wait_ready()
    session = ari_peer.wait_session("hello")
    for cid in ("y" * 3000, ""):
        session.send(stasis_start(cid, "hello"), stasis_end(cid, "hello"))
    for start in drain(d):
        d.pubsub().poll(f"events_{start['dialog_id']}", timeout=0.2, max=100)
    wait_until(lambda: d.metrics()["voxbus_hub_dialogs"] == 0, 10, "a dialog stays")
    call_works(d, ari_peer, "after")


def test_large_fragmented_and_binary_frames(daemon, ari_peer):
    d = daemon(config(ari_peer))
    d.expect_log("bad event", "port lost", "port failed", "binary frame", "unexpected frame")
    d.wait_ready()
    session = ari_peer.wait_session("hello")
    big = stasis_start("big", "hello", ["x" * 900_000])
    session.send(big)
    dialog = d.pubsub().wait_dialog("hello")
    assert len(dialog.wait_event("StasisStart")["args"][0]) == 900_000
    session.send(stasis_end("big", "hello"))
    text = json.dumps(stasis_start("frag", "hello")).encode()
    pieces = [frame(TEXT if i == 0 else 0, text[i:i + 7], fin=i + 7 >= len(text)) for i in range(0, len(text), 7)]
    session.send_raw(frame(PING, b"x").join(pieces))
    assert d.pubsub().wait_dialog("hello").wait_event("StasisStart")["channel"]["id"] == "frag"
    session.send_raw(frame(PING, b"y" * 125) * 20000)
    session.send_raw(frame(TEXT, b"") * 1000)
    session.send_raw(frame(BINARY, b"\x00\xff" * 10))
    call_works(d, ari_peer, "c1")


BREAKING = [
    ("not utf-8", frame(TEXT, b'{"type":"\xff\xfe"}'), 1007),
    ("cut utf-8 in fragments", frame(TEXT, b"\xe2\x82", fin=False) + frame(0, b"a"), 1007),
    ("continuation of nothing", frame(0, b"x"), 1002),
    ("text in text", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    ("reserved opcode", frame(3, b"x"), 1002),
    ("reserved bit", b"\xc1\x01a", 1002),
    ("masked", frame(TEXT, b"abcd", mask=b"abcd"), 1002),
    ("long ping", b"\x89\x7e\x00\x7e" + b"x" * 126, 1002),
    ("fragmented ping", b"\x09\x01x", 1002),
    ("length 2^63", b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 1002),
    ("length huge", b"\x81\x7f\x00\x00\x00\xff\x00\x00\x00\x00", 1009),
    ("length not shortest", b"\x81\x7e\x00\x01a", 1002),
    ("close of one byte", b"\x88\x01a", 1002),
    ("close code 1005", b"\x88\x02\x03\xed", 1002),
    ("close reason not utf-8", b"\x88\x03\x03\xe8\xff", None),
]


def test_frames_that_break_the_protocol(daemon, ari_peer):
    for what, data, code in BREAKING:
        d = daemon(config(ari_peer))
        d.expect_log("bad event", "port lost", "port failed")
        d.wait_ready()
        session = ari_peer.wait_session("hello")
        session.send_raw(data)
        session.wait_end()
        assert code is None or session.close_code == code, (what, session.close_code)
        if what == BREAKING[-1][0]:
            ari_peer.wait(lambda: len(ari_peer.sessions) == len(BREAKING) + 1)
            d.wait_ready()
            call_works(d, ari_peer, "c1")
        wait_until(lambda: len(d.events("port lost")) + len(d.events("port failed")) == 1, what=what)
        d.stop()


RAW = [
    ("nothing", b"", 502),
    ("garbage", b"\x00\x01\x02\x03\r\n\r\n", 502),
    ("cut head", b"HTTP/1.1 200 OK\r\nContent-Le", 502),
    ("cut body", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", 502),
    ("cut chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 502),
    ("bad chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 502),
    ("length twice", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502),
    ("length negative", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab", 502),
    ("length huge", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nab", 502),
    ("head without end", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 30000, 502),
    ("body without end", b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (20 << 20), 502),
    ("1xx for ever", b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, 502),
    ("101", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", (101, 502)),
    ("100 then 200", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200),
    ("redirect", b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302),
    ("two answers", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n{}", 200),
    ("no json", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: application/json\r\n\r\n{[\xff", 200),
    ("until close", b"HTTP/1.1 200 OK\r\n\r\nbye", 200),
    ("status 999", b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", (999, 502)),
    ("status 000", b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n", 502),
]


@pytest.mark.limit(90)
def test_rest_answers_that_are_none(daemon, ari_peer):
    d = daemon(config(ari_peer, timeout="3s"))
    d.wait_ready()
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    dialog = d.pubsub().wait_dialog("hello")
    for what, data, status in RAW:
        ari_peer.rest_raw = data
        answer = dialog.command("POST", "/channels/c1/hold")
        allowed = status if isinstance(status, tuple) else (status,)
        assert answer["status_code"] in allowed, (what, answer)
        time.sleep(0.05)  # the peer closes behind each: the next command shall not meet that on its way
    ari_peer.rest_raw = None
    call_works(d, ari_peer, "c2")


GARBAGE = [(200, "{"), (200, '{"a":1}'), (200, '[1,2,[]]'), (200, '[{"id":null},{"id":""},{"id":[]}]'), (200, "[" * 70000),
           (500, "x"), (302, ""), (200, b"\xff\xfe\x00"), (200, '[{"id":"' + "x" * 5000 + '"}]'),
           (200, '{"channel_ids":[1,null,{}],"bridge_ids":{}}')]


@pytest.mark.parametrize("path", ["/applications/hello", "/channels", "/bridges"])
def test_resync_that_gets_garbage_goes_on(daemon, ari_peer, path):
    for n, (status, body) in enumerate(GARBAGE):
        ari_peer.answer("GET", path, status, body)
        d = daemon(config(ari_peer, timeout="1s"))
        d.expect_log("resync incomplete")
        d.wait_ready()
        call_works(d, ari_peer, f"c{n}")
        d.stop()
        ari_peer.forget("GET", path)


HOSTILE_COMMANDS = [
    ("GET", "/..%2f..%2fadmin", 400), ("GET", "/channels/..%2F..", 400), ("GET", "/%2e%2e%2fx", 400),
    ("GET", "/..%5cx", 400), ("GET", "/..\\x", 400),
    ("GET", "/a/./b", 400), ("GET", "//evil/../x", 400), ("GET", "http://evil/", 400), ("GET", "channels", 400),
    ("GET", "", 400), ("GET", "/a\x00b", 400), ("GET", "/a\nX: y", 400), ("GET", "/" + "a" * 60000, 400),
    ("GET\r\nX: y", "/channels", 400), ("GET /x HTTP/1.1\r\nHost: h\r\n\r\nGET", "/", 400), ("get", "/channels", 400),
    ("G" * 1000, "/channels", 400), ("GE T", "/channels", 400), ("GET\u0000", "/channels", 400),
    ("CONNECT", "/channels", None), ("TRACE", "/channels", None), ("OPTIONS", "/channels", None),
    ("HEAD", "/channels", None), ("PRI", "/*", None), ("GET", "/a b?c=\u00e9#x", None), ("GET", "/%", None),
    ("GET", "/?" + "&" * 3000, None), ("GET", "/" + "/" * 3000, None),
]


def test_hostile_commands_get_an_answer_and_stay_one_request(daemon, ari_peer):
    d = daemon(config(ari_peer, timeout="2s"))
    d.wait_ready()
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    dialog = d.pubsub().wait_dialog("hello")
    for method, url, status in HOSTILE_COMMANDS:
        before = len(ari_peer.requests)
        answer = dialog.command(method, url, "{}")
        assert status is None or answer["status_code"] == status, (method[:30], url[:30], answer)
        assert len(ari_peer.requests) - before <= (0 if status == 400 else 1), (method[:30], url[:30])
    seen = [r.path for r in ari_peer.requests]
    assert not any(path and ".." in path for path in seen)
    for body in ("x" * 65536, "x" * 200_000, "\x00\x01", '{"channelId":' * 5000, '{"channelId":"' + "c" * 5000 + '"}',
                 '{"channelId":["x"]}', "null", "[]", "a=b&channelId=%00"):
        answer = dialog.command("POST", "/channels/c1/play", body)
        assert answer["status_code"] == 201, answer
    call_works(d, ari_peer, "c2")


def test_thousands_of_commands_are_queued_in_order_or_refused(daemon, ari_peer):
    d = daemon({**config(ari_peer), "commands": {"max": 500}})
    d.wait_ready()
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    dialog = d.pubsub().wait_dialog("hello")
    ari_peer.rest_delay = 2
    taken, refused = [], 0
    p = d.pubsub()
    for i in range(700):
        answer = p.post(f"commands_{dialog.id}", {"unique_id": str(i), "url": f"/channels/c1/n{i}", "method": "POST"})
        assert answer.status in (200, 429), answer
        taken += [str(i)] if answer.status == 200 else []
        refused += answer.status == 429
    assert 490 <= len(taken) <= 510 and refused
    ari_peer.rest_delay = 0
    got = []
    while len(got) < len(taken):
        more = p.poll(f"responses_{dialog.id}", timeout=5, max=100)
        assert more, len(got)
        got += [r["unique_id"] for r in more]
    assert got == taken
    call_works(d, ari_peer, "c2")


def test_an_answer_too_large_for_the_bus_is_said(daemon, ari_peer):
    d = daemon(config(ari_peer))
    d.wait_ready()
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    dialog = d.pubsub().wait_dialog("hello")
    for size, status in ((3 << 20, 200), (8 << 20, 502), (17 << 20, 502)):
        ari_peer.answer("GET", "/recordings/stored/r/file", 200, "x" * size, times=1)
        answer = dialog.command("GET", "/recordings/stored/r/file")
        assert answer["status_code"] == status, size
        assert status == 200 or "too large" in answer["response_body"]
    call_works(d, ari_peer, "c2")


OTHER = "ACother0000000000000000000000000"


def test_one_account_gets_nothing_of_another(daemon, ari_peer):
    d = daemon({
        "engines": [ari_engine(ari_peer.url, "hello", "theirs")],
        "accounts": [{"sid": harness.SID, "token": harness.TOKEN}, {"sid": OTHER, "token": "other-token"}],
        "buses": [{"type": "longpoll", "name": "http", "account": harness.SID},
                  {"type": "longpoll", "name": "other", "account": OTHER}],
        "applications": [{"name": "hello", "bus": "http"}, {"name": "theirs", "bus": "other"}]})
    d.wait_ready()
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    mine, other = d.pubsub(), d.pubsub(OTHER, "other-token")
    dialog = mine.wait_dialog("hello")
    for topic in ("hello", f"events_{dialog.id}", f"responses_{dialog.id}"):
        for session in (other.session, None):
            target = f"/{harness.SID}/{topic}?timeout=0" + (f"&session={session}" if session else "")
            assert other.request("GET", target).status in (401, 403), target
            assert other.request("HEAD", target).status in (401, 403), target
        assert other.poll(topic, timeout=0) == []
    command = {"unique_id": "u", "url": "/channels/c1", "method": "DELETE"}
    body = json.dumps(command)
    for target in (f"/{harness.SID}/commands_{dialog.id}", f"/{OTHER}/../{harness.SID}/commands_{dialog.id}",
                   f"/{OTHER}%2f..%2f{harness.SID}/commands_{dialog.id}"):
        assert other.request("POST", target + f"?session={other.session}", body).status >= 400, target
    assert other.post(f"commands_{dialog.id}", command).status == 404
    assert not [r for r in ari_peer.requests if r.method == "DELETE"]
    assert dialog.wait_event("StasisStart")
    assert dialog.command("POST", "/channels/c1/answer")["status_code"] == 204
