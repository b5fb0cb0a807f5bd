# SPDX-License-Identifier: MIT
"""The bus `nats` against a scripted server that is silent, late, rude, cut short or wrong."""
import json
import time

import pytest

from ari_peer import event, stasis_start
from harness import applications, ari_engine, wait_until


@pytest.fixture
def peer(nats_peer):
    return nats_peer


@pytest.fixture
def start(nats_peer, daemon, ari_peer):
    """A function that starts a daemon on that peer."""
    def run(wait=True, **more):
        d = daemon({"engines": [ari_engine(ari_peer.url, "hello")],
                    "buses": [{"type": "nats", "name": "main", "url": nats_peer.url, **more}],
                    "applications": applications("hello", bus="main")})
        if wait:
            d.wait_ready()
        return d
    return run


def number(d, name):
    hits = [v for k, v in d.metrics().items() if k.startswith("voxbus_nats_" + name) and 'port="main"' in k]
    assert len(hits) == 1, name
    return hits[0]


def call(ari_peer, n=0):
    session = ari_peer.wait_session("hello")
    session.send(stasis_start("c1", "hello"))
    more(ari_peer, range(n))


def more(ari_peer, numbers):
    for k in numbers:
        ari_peer.wait_session("hello").send(
            event("ChannelVarset", "hello", variable="V", value=str(k), channel={"id": "c1"}))


def dialog_of(peer):
    return json.loads(peer.wait_pub("hello")[2])["dialog_id"]


def events(peer, dialog, n, timeout=10):
    """n events' values, the StasisStart's is its type."""
    got = [json.loads(peer.wait_pub(f"events_{dialog}", timeout)[2]) for _ in range(n)]
    return [json.loads(e["ari_body"]).get("value", e["type"]) for e in got]


def test_call_is_announced_only_when_the_server_has_its_subscription(start, ari_peer, peer):
    start()
    peer.everybody = True
    peer.mute = True  # it reads the SUB, but the PONG does not come
    call(ari_peer)
    peer.subject("commands_")
    time.sleep(0.3)
    assert not peer.pubs
    peer.speak()
    assert dialog_of(peer) == peer.subject("commands_").removeprefix("commands_")


def test_name_and_options_of_the_connection(start, peer):
    start()
    connect = peer.connects[0]
    assert connect["name"] == "voxbus/test/main" and connect["no_responders"] is True and connect["headers"] is True


def test_nothing_is_settled_before_the_pong(start, ari_peer, peer):
    d = start()
    peer.everybody = True
    call(ari_peer, 5)
    dialog = dialog_of(peer)
    assert events(peer, dialog, 6)[0] == "StasisStart"
    wait_until(lambda: number(d, "in_flight") == 0)
    peer.mute = True
    more(ari_peer, range(5, 105))
    wait_until(lambda: number(d, "in_flight") + number(d, "held") >= 1)
    wait_until(lambda: len(peer.of(f"events_{dialog}")) > 6)
    assert number(d, "in_flight") > 0
    peer.speak()
    assert events(peer, dialog, 100) == [str(k) for k in range(5, 105)]
    wait_until(lambda: number(d, "in_flight") == 0)


def test_nobody_listens_yet(start, ari_peer, peer):
    """503 holds AppStart, then the events; in order once somebody is there, and nothing twice."""
    d = start()
    call(ari_peer, 20)
    wait_until(lambda: number(d, "no_responders") >= 3)
    assert not peer.pubs
    peer.listeners.add("hello")
    dialog = dialog_of(peer)
    before = number(d, "no_responders")
    wait_until(lambda: number(d, "no_responders") > before + 2)
    wait_until(lambda: number(d, "held") == 21)  # but for a moment, in which it is tried again
    peer.listeners.add(f"events_{dialog}")
    assert events(peer, dialog, 21) == ["StasisStart"] + [str(k) for k in range(20)]
    time.sleep(0.1)
    assert len(peer.of(f"events_{dialog}")) == 21 and len(peer.of("hello")) == 1
    # Only the first of them asked.
    assert [bool(reply) for _, reply, _ in peer.of(f"events_{dialog}")] == [True] + 20 * [False]
    assert number(d, "held") == 0


def test_dummy_ends_the_wait_at_once(start, ari_peer, peer):
    d = start()
    peer.listeners.add("hello")
    call(ari_peer, 1)
    dialog = dialog_of(peer)
    time.sleep(2.5)  # by now it is tried once a second
    peer.listeners.add(f"events_{dialog}")
    began = time.monotonic()
    peer.send(f"commands_{dialog}", b"DUMMY")
    events(peer, dialog, 2)
    assert time.monotonic() - began < 0.3
    assert number(d, "dummies") == 1


def test_late_pongs_are_late_and_no_more(start, ari_peer, peer):
    d = start()
    peer.everybody = True
    peer.pong_delay = 0.7
    call(ari_peer, 3)
    dialog = dialog_of(peer)
    assert events(peer, dialog, 4) == ["StasisStart", "0", "1", "2"]
    wait_until(lambda: number(d, "in_flight") == 0)
    assert number(d, "reconnects") == 0 and d.ready()


def test_silent_server_is_stale_then_dead(start, ari_peer, peer):
    d = start(ping="200ms", stale="500ms", dead="1500ms")
    d.expect_log("port lost")
    peer.everybody = True
    call(ari_peer, 3)
    dialog = dialog_of(peer)
    events(peer, dialog, 4)
    peer.mute = True
    began = time.monotonic()
    assert d.wait_log("port lost", state="stale")
    assert time.monotonic() - began < 1.2
    assert not d.ready()
    more(ari_peer, range(3, 6))
    assert "fallen silent" in d.wait_log("port lost", state="down")["reason"]
    assert time.monotonic() - began < 3
    peer.mute = False
    # What was under way goes out again, by the next link.
    wait_until(lambda: number(d, "reconnects") >= 1)
    wait_until(lambda: b'"seq":7' in b"".join(p[2] for p in peer.of(f"events_{dialog}")))
    d.wait_ready()


def test_server_that_greets_nobody(start, peer):
    peer.greet = False
    d = start(wait=False, connect_timeout="300ms")
    d.expect_log("port lost")
    assert "does not answer" in d.wait_log("port lost", state="down")["reason"]
    peer.greet = True
    d.wait_ready()


def test_refused_login(start, peer):
    peer.refuse = "Authorization Violation"
    d = start(wait=False)
    d.expect_log("port failed")
    assert "Authorization Violation" in d.wait_log("port failed", state="failed")["reason"]
    time.sleep(1)
    assert len(peer.connects) == 1  # not again and again


def test_error_of_the_server_ends_the_link_or_not(start, ari_peer, peer):
    d = start()
    d.expect_log("port lost", "server complains")
    peer.everybody = True
    call(ari_peer, 3)
    dialog = dialog_of(peer)
    events(peer, dialog, 4)
    peer.error("Permissions Violation for Publish to \"x\"")
    assert "Permissions Violation" in d.wait_log("server complains")["text"]
    more(ari_peer, [3])
    assert events(peer, dialog, 1) == ["3"]
    peer.error("Stale Connection")
    d.wait_log("port lost", state="down")
    d.wait_ready()
    more(ari_peer, [4])
    wait_until(lambda: b'\\"value\\":\\"4\\"' in b"".join(p[2] for p in peer.of(f"events_{dialog}")))


def test_bytes_one_by_one(start, ari_peer, peer):
    peer.chop = True
    start(connect_timeout="20s")
    peer.listeners.add("hello")
    call(ari_peer, 3)
    dialog = dialog_of(peer)
    peer.listeners.add(f"events_{dialog}")
    peer.everybody = True
    assert events(peer, dialog, 4) == ["StasisStart", "0", "1", "2"]
    ari_peer.answer("POST", "/channels/c1/answer", 204, None)
    peer.send(f"commands_{dialog}", b'{"unique_id":"u","url":"/channels/c1/answer","method":"POST","body":"{}"}')
    assert json.loads(peer.wait_pub(f"responses_{dialog}")[2])["status_code"] == 204


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 5000, b"MSG\r\n"])
def test_what_is_no_nats_ends_the_link(start, ari_peer, peer, garbage):
    d = start()
    d.expect_log("port lost", "port failed", "server complains")
    peer.raw(garbage)
    d.wait_log("port lost")
    d.wait_ready()


def test_message_cut_in_the_middle(start, ari_peer, peer):
    d = start()
    d.expect_log("port lost")
    peer.everybody = True
    call(ari_peer)
    dialog = dialog_of(peer)
    sid = peer.wait_sub(f"commands_{dialog}")
    peer.raw(f"MSG commands_{dialog} {sid} 500\r\n".encode() + b'{"url":')
    peer.drop()
    d.wait_log("port lost")
    d.wait_ready()
    peer.subject(f"commands_{dialog}")  # heard again
    ari_peer.answer("POST", "/channels/c1/answer", 204, None)
    peer.send(f"commands_{dialog}", b'{"unique_id":"u","url":"/channels/c1/answer","method":"POST","body":"{}"}')
    assert json.loads(peer.wait_pub(f"responses_{dialog}")[2])["unique_id"] == "u"


def test_server_that_does_not_tell_when_nobody_listens(start, ari_peer, peer):
    peer.no_responders = False
    d = start()
    d.expect_log("server too old")
    d.wait_log("server too old")
    peer.everybody = True
    call(ari_peer, 1)
    assert events(peer, dialog_of(peer), 2) == ["StasisStart", "0"]


def test_drops_in_a_row_lose_nothing_and_keep_the_order(start, ari_peer, peer):
    d = start()
    d.expect_log("port lost")
    peer.everybody = True
    call(ari_peer)
    dialog = dialog_of(peer)
    for n in range(10):
        more(ari_peer, range(n * 50, n * 50 + 50))
        peer.drop()
        d.wait_log("port lost", state="down", count=n + 1)
        d.wait_ready()
    wait_until(lambda: number(d, "in_flight") + number(d, "held") == 0)
    wait_until(lambda: b'\\"value\\":\\"499\\"' in b"".join(p[2] for p in peer.of(f"events_{dialog}")))
    seqs = [json.loads(p[2])["seq"] for p in peer.of(f"events_{dialog}")]
    assert set(seqs) == set(range(1, 502))
    # Each is new, or one that was sent before and comes again.
    newest = 0
    for seq in seqs:
        assert seq <= newest + 1
        newest = max(newest, seq)


def test_flood_of_commands_has_an_end_for_each(start, ari_peer, peer):
    d = start()
    peer.everybody = True
    call(ari_peer)
    dialog = dialog_of(peer)
    ari_peer.answer("POST", "/channels/c1/answer", 204, None)
    for k in range(3000):
        peer.send(f"commands_{dialog}", json.dumps(
            {"unique_id": str(k), "url": "/channels/c1/answer", "method": "POST", "body": ""}).encode())
    answers = [json.loads(peer.wait_pub(f"responses_{dialog}", 50)[2]) for _ in range(3000)]
    assert [int(a["unique_id"]) for a in answers if a["status_code"] == 204] == sorted(
        int(a["unique_id"]) for a in answers if a["status_code"] == 204)
    assert {int(a["unique_id"]) for a in answers} == set(range(3000))
    assert number(d, "commands_lost") == sum(a["status_code"] != 204 for a in answers)


def test_commands_wait_for_room_in_their_call_and_keep_their_order(nats_peer, daemon, ari_peer):
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello")],
                "buses": [{"type": "nats", "name": "main", "url": nats_peer.url}],
                "applications": applications("hello", bus="main"), "commands": {"max": 2}})
    d.wait_ready()
    nats_peer.everybody = True
    call(ari_peer)
    dialog = dialog_of(nats_peer)
    ari_peer.answer("POST", "/channels/c1/answer", 204, None)
    ari_peer.rest_delay = 0.02
    for k in range(60):
        nats_peer.send(f"commands_{dialog}", json.dumps(
            {"unique_id": str(k), "url": "/channels/c1/answer", "method": "POST", "body": ""}).encode())
    answers = [json.loads(nats_peer.wait_pub(f"responses_{dialog}", 20)[2]) for _ in range(60)]
    assert [(a["unique_id"], a["status_code"]) for a in answers] == [(str(k), 204) for k in range(60)]
    assert number(d, "commands_lost") == 0


def test_stop_during_a_connect_that_takes_long(start, peer):
    peer.greet = False
    d = start(wait=False, connect_timeout="30s")
    d.expect_log("stop not waited for")
    time.sleep(0.3)
    began = time.monotonic()
    d.stop()
    assert time.monotonic() - began < 4.5


def test_stop_while_the_server_is_silent(start, ari_peer, peer):
    d = start()
    peer.everybody = True
    call(ari_peer, 3)
    events(peer, dialog_of(peer), 4)
    peer.mute = True
    more(ari_peer, range(3, 100))
    time.sleep(0.3)
    began = time.monotonic()
    d.stop()
    assert time.monotonic() - began < 1.5


def test_kill_9_loses_nothing_that_was_journaled(start, ari_peer, peer):
    d = start()
    call(ari_peer, 50)
    peer.listeners.add("hello")
    dialog = dialog_of(peer)
    time.sleep(0.3)
    d.kill()
    d.start()
    d.expect_log("port lost")
    peer.everybody = True
    wait_until(lambda: len(peer.of(f"events_{dialog}")) >= 51)
    seqs = [json.loads(p[2])["seq"] for p in peer.of(f"events_{dialog}")]
    assert seqs[:51] == list(range(1, 52))
