# SPDX-License-Identifier: MIT
"""The bus `nats` with a real nats-server and a foreign client: what the old proxy's clients see, and better."""
import json
import time

import pytest

from ari_peer import event, stasis_end, stasis_start
from harness import SID, applications, ari_engine, free_port, wait_until
from nats_server import number


def start(daemon, peer, url, record="on", **more):
    d = daemon({"engines": [ari_engine(peer.url, "hello")],
                "buses": [{"type": "nats", "name": "main", "url": url, **more}],
                "applications": applications("hello", bus="main", record=record)})
    d.wait_ready()
    return d


def dial(peer, i, n=1):
    """A call and n events of it."""
    session = peer.wait_session("hello")
    session.send(stasis_start(f"c{i}", "hello"))
    for k in range(n):
        session.send(event("ChannelVarset", "hello", variable="V", value=str(k), channel={"id": f"c{i}"}))


def values(client, dialog, count, timeout=10):
    """The numbers of the ChannelVarsets of a dialog, as they came, with the StasisStart in front."""
    got = [json.loads(m) for m in client.wait(f"events_{dialog}", count, timeout)]
    assert got[0]["type"] == "StasisStart"
    return [json.loads(m["ari_body"])["value"] for m in got[1:]]


def test_envelopes_are_the_old_proxys_with_members_at_the_end(daemon, ari_peer, nats_server, nats_client):
    worker = nats_client()
    worker.tell("work", application="hello")
    start(daemon, ari_peer, nats_server.url())
    frame = stasis_start("c1", "hello")
    ari_peer.wait_session("hello").send(frame)
    text = worker.wait("hello")[0]
    dialog = json.loads(text)["dialog_id"]
    assert text == json.dumps({"application": "hello", "dialog_id": dialog, "server_id": "test", "seq": 1},
                              separators=(",", ":"))
    text = worker.wait(f"events_{dialog}")[0]
    envelope = json.loads(text)
    assert list(envelope) == ["server_id", "timestamp", "type", "ari_body", "dialog_id", "application", "seq"]
    assert json.loads(envelope["ari_body"]) == frame and envelope["type"] == "StasisStart"
    ari_peer.answer("POST", "/channels/c1/answer", 204, None)
    response = worker.command(dialog, "POST", "/channels/c1/answer", unique_id="u1")
    assert list(response)[:3] == ["unique_id", "status_code", "response_body"]
    assert response["unique_id"] == "u1" and response["status_code"] == 204


@pytest.mark.parametrize("late_ms", [0, 300])
def test_client_that_subscribes_after_its_dummy_gets_every_event(daemon, ari_peer, nats_server, nats_client, late_ms):
    worker = nats_client()
    worker.tell("work", application="hello", late_ms=late_ms)
    d = start(daemon, ari_peer, nats_server.url())
    for i in range(20):
        dial(ari_peer, i, 50)
    starts = [json.loads(m)["dialog_id"] for m in worker.wait("hello", 20)]
    assert len(set(starts)) == 20
    for dialog in starts:
        assert values(worker, dialog, 51) == [str(k) for k in range(50)]
    time.sleep(0.2)
    assert len(worker.messages) == 20 + 20 * 51  # nothing twice
    assert number(d, "dummies") == 20
    if late_ms:
        assert number(d, "no_responders") >= 20


def test_call_waits_for_a_worker(daemon, ari_peer, nats_server, nats_client):
    """AppStart is kept while no worker listens, and goes out, in order, when one comes."""
    start(daemon, ari_peer, nats_server.url())
    for i in range(30):
        dial(ari_peer, i, 3)
    time.sleep(0.5)
    worker = nats_client()
    worker.tell("work", application="hello")
    starts = [json.loads(m) for m in worker.wait("hello", 30)]
    assert [s["seq"] for s in starts] == list(range(1, 31))
    for s in starts:
        assert values(worker, s["dialog_id"], 4) == ["0", "1", "2"]


def test_queue_group_shares_calls(daemon, ari_peer, nats_server, nats_client):
    workers = [nats_client(), nats_client()]
    for worker in workers:
        worker.tell("work", application="hello", queue="workers")
    start(daemon, ari_peer, nats_server.url())
    for i in range(60):
        dial(ari_peer, i)
    wait_until(lambda: sum(len(w.of("hello")) for w in workers) >= 60, 10)
    time.sleep(0.2)
    shares = [len(w.of("hello")) for w in workers]
    assert sum(shares) == 60 and min(shares) >= 10, shares


def test_commands_by_a_queue_group_are_carried_out_once(daemon, ari_peer, nats_server, nats_client):
    """Who listens beside us in the group takes its share: then a command is not ours."""
    worker = nats_client()
    worker.tell("work", application="hello")
    d = start(daemon, ari_peer, nats_server.url(), queue="workers")
    dial(ari_peer, 1)
    dialog = worker.next("hello")["dialog_id"]
    ari_peer.answer("POST", "/channels/c1/answer", 204, None)
    states = d.metrics()["voxbus_journal_states"]
    for i in range(10):
        assert worker.command(dialog, "POST", "/channels/c1/answer", unique_id=str(i))["status_code"] == 204
    assert len([r for r in ari_peer.requests if r.path.endswith("/answer")]) == 10
    # Nothing brings a command again, so no result is kept for that (JetStream's are).
    assert d.metrics()["voxbus_journal_states"] == states


def test_ids_may_be_empty_or_repeat_and_nonsense_is_answered(daemon, ari_peer, nats_server, nats_client):
    worker = nats_client()
    worker.tell("work", application="hello")
    d = start(daemon, ari_peer, nats_server.url())
    dial(ari_peer, 1)
    dialog = worker.next("hello")["dialog_id"]
    ari_peer.answer("POST", "/channels/c1/answer", 204, None)
    for unique_id in ("", "1", "1", ""):
        response = worker.command(dialog, "POST", "/channels/c1/answer", unique_id=unique_id)
        assert (response["unique_id"], response["status_code"]) == (unique_id, 204)
    for nonsense in ("", "{", "[]", '{"method":"GET"}', '{"url":7,"method":"GET"}'):
        worker.tell("pub", subject=f"commands_{dialog}", data=nonsense)
        assert worker.next(f"responses_{dialog}")["status_code"] == 400
    assert number(d, "commands_unreadable") == 5
    assert worker.command(dialog, "POST", "/channels/c1/answer")["status_code"] == 204


def test_server_killed_and_restarted_in_mid_call(daemon, ari_peer, nats_server, nats_client):
    worker = nats_client()
    worker.tell("work", application="hello")
    d = start(daemon, ari_peer, nats_server.url())
    d.expect_log("port lost")
    dial(ari_peer, 1, 10)
    dialog = worker.next("hello")["dialog_id"]
    assert values(worker, dialog, 11) == [str(k) for k in range(10)]
    wait_until(lambda: number(d, "in_flight") == 0)  # else some come twice
    nats_server.kill()
    d.wait_log("port lost", 3)
    session = ari_peer.wait_session("hello")
    for k in range(10, 500):
        session.send(event("ChannelVarset", "hello", variable="V", value=str(k), channel={"id": "c1"}))
    dial(ari_peer, 2)
    time.sleep(1)
    nats_server.start()
    assert values(worker, dialog, 501, 20) == [str(k) for k in range(500)]
    ari_peer.answer("POST", "/channels/c1/answer", 204, None)
    assert worker.command(dialog, "POST", "/channels/c1/answer")["status_code"] == 204
    assert worker.next("hello")["dialog_id"] != dialog  # the call that came meanwhile
    assert number(d, "reconnects") == 1


@pytest.mark.limit(90)
def test_frozen_server_is_seen_and_costs_nothing(daemon, ari_peer, nats_server, nats_client):
    """Frozen for 10 s under load: STALE within 3 s, the other bus and HTTP do not notice, nothing is lost or doubled."""
    worker = nats_client()
    worker.tell("work", application="hello")
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello", "poll")],
                "buses": [{"type": "nats", "name": "main", "url": nats_server.url()},
                          {"type": "longpoll", "name": "http", "account": SID}],
                "applications": applications("hello", bus="main") + applications("poll")})
    d.expect_log("port lost")
    d.wait_ready()
    dial(ari_peer, 1, 10)
    dialog = worker.next("hello")["dialog_id"]
    assert values(worker, dialog, 11) == [str(k) for k in range(10)]
    session = ari_peer.wait_session("hello")
    nats_server.freeze()
    began, slowest, n, pubsub = time.monotonic(), 0, 10, d.pubsub()
    seen = None
    while time.monotonic() - began < 10:
        for _ in range(20):
            session.send(event("ChannelVarset", "hello", variable="V" * 1000, value=str(n), channel={"id": "c1"}))
            n += 1
        before = time.monotonic()
        assert d.admin("GET", "/healthz").status == 200
        ari_peer.wait_session("poll").send(stasis_start(f"p{n}", "poll"))
        assert pubsub.wait_dialog("poll").wait_event("StasisStart")
        slowest = max(slowest, time.monotonic() - before)
        if seen is None and d.events("port lost"):
            seen = time.monotonic() - began
        time.sleep(0.02)
    nats_server.thaw()
    assert seen is not None and seen < 3.2, seen
    assert slowest < 0.5, slowest
    assert values(worker, dialog, n + 1, 20) == [str(k) for k in range(n)]
    time.sleep(0.3)
    assert len(worker.of(f"events_{dialog}")) == n + 1
    assert number(d, "reconnects") == 0
    print(f"frozen: {n} events waited, seen after {seen:.2f} s, slowest other call {slowest * 1000:.0f} ms")


def test_stop_while_the_server_is_frozen(daemon, ari_peer, nats_server, nats_client):
    worker = nats_client()
    worker.tell("work", application="hello")
    d = start(daemon, ari_peer, nats_server.url())
    dial(ari_peer, 1, 10)
    worker.next("hello")
    nats_server.freeze()
    dial(ari_peer, 2, 2000)
    time.sleep(0.3)
    began = time.monotonic()
    d.stop()
    assert time.monotonic() - began < 4
    nats_server.thaw()


def test_absent_server_is_waited_for(daemon, ari_peer, nats_server, nats_client):
    nats_server.kill()
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello")],
                "buses": [{"type": "nats", "name": "main", "url": nats_server.url()}],
                "applications": applications("hello", bus="main")})
    d.expect_log("port lost")
    assert "does not answer" in d.wait_log("port lost")["reason"]
    dial(ari_peer, 1, 300)
    nats_server.start()
    worker = nats_client()
    worker.tell("work", application="hello")
    dialog = worker.next("hello")["dialog_id"]
    assert values(worker, dialog, 301) == [str(k) for k in range(300)]


def test_failover_to_a_server_that_lives(daemon, ari_peer, nats_server, nats_client):
    worker = nats_client()
    worker.tell("work", application="hello")
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello")],
                "buses": [{"type": "nats", "name": "main", "url": f"nats://127.0.0.1:{free_port()}",
                           "failover": [nats_server.url()]}],
                "applications": applications("hello", bus="main")})
    d.expect_log("port lost")
    d.wait_ready()
    dial(ari_peer, 1)
    assert worker.next("hello")["application"] == "hello"


def test_nothing_is_left_of_calls_that_ended(daemon, ari_peer, nats_server, nats_client):
    worker = nats_client()
    worker.tell("work", application="hello")
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello")],
                "buses": [{"type": "nats", "name": "main", "url": nats_server.url()}],
                "applications": applications("hello", bus="main"), "dialogs": {"linger": "100ms"}})
    d.wait_ready()
    session = ari_peer.wait_session("hello")
    for i in range(50):
        session.send(stasis_start(f"c{i}", "hello"))
        session.send(stasis_end(f"c{i}", "hello"))
    for m in worker.wait("hello", 50):
        worker.wait(f"events_{json.loads(m)['dialog_id']}", 2)
    wait_until(lambda: number(d, "topics") <= 1 and number(d, "held") == 0, 20, "topics are left")
    assert number(d, "lost") == 0


def one_real_call(worker, ring):
    """From its StasisStart to its end, by a client that knows NATS alone."""
    ring()
    dialog = worker.next("test")["dialog_id"]
    cid = json.loads(worker.event(dialog, "StasisStart")["ari_body"])["channel"]["id"]
    assert worker.command(dialog, "POST", f"/channels/{cid}/answer")["status_code"] == 204
    play = json.dumps({"media": "sound:hello"})
    assert worker.command(dialog, "POST", f"/channels/{cid}/play/{cid}-p", play)["status_code"] == 201
    worker.event(dialog, "PlaybackStarted")
    worker.event(dialog, "PlaybackFinished")
    assert worker.command(dialog, "DELETE", f"/channels/{cid}")["status_code"] == 204
    worker.event(dialog, "StasisEnd")
    envelopes = [json.loads(m) for m in worker.of(f"events_{dialog}")]
    assert [e["seq"] for e in envelopes] == list(range(1, len(envelopes) + 1))
    return dialog


@pytest.mark.limit(90)
def test_whole_calls_with_a_real_asterisk(daemon, asterisk, sipp, nats_server, nats_client):
    worker = nats_client()
    worker.tell("work", application="test", queue="workers")
    d = daemon({"engines": [asterisk.engine("test")],
                "buses": [{"type": "nats", "name": "main", "url": nats_server.url()}],
                "applications": applications("test", bus="main"), "dialogs": {"linger": "500ms"}})
    d.wait_ready(20)
    calls = []
    for _ in range(3):
        one_real_call(worker, lambda: calls.append(sipp("8000", hangup="callee")))
    for call in calls:
        call.must_succeed()
    assert asterisk.channels() == []
    wait_until(lambda: number(d, "topics") <= 1 and number(d, "held") == 0, 20, "topics are left")
    assert number(d, "lost") == 0
