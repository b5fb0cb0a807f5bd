# SPDX-License-Identifier: MIT
"""The bus `amqp` and its link, at a broker that does what no real one can be made to do."""
import json
import struct
import time

import pytest

from amqp_app import bus
from amqp_peer import AmqpPeer, short
from ari_peer import channel, event, stasis_end, stasis_start
from harness import applications, ari_engine, wait_until

DECLARE = struct.pack(">HHH", 50, 10, 0)


@pytest.fixture
def start(daemon, ari_peer, amqp_peer):
    """start(**keys of the bus) -> daemon whose bus is the scripted broker."""
    def begin(peer=amqp_peer, wait=True, **more):
        d = daemon({"engines": [ari_engine(ari_peer.url, "hello")], "buses": [bus(peer.url, **more)],
                    "applications": applications("hello", bus="rabbit")})
        if wait:
            d.wait_ready()
            ari_peer.wait_session("hello")
        return d
    return begin


def open_call(ari_peer, amqp_peer, cid="c1", known=()):
    """A call; its dialog's id."""
    ari_peer.wait_session("hello").send(stasis_start(cid, "hello"))
    starts = amqp_peer.wait_published("hello", len(known) + 1)
    dialog = json.loads(starts[-1])["dialog_id"]
    amqp_peer.wait_published(f"events_{dialog}")
    return dialog


def seqs(amqp_peer, dialog):
    return [json.loads(b)["seq"] for b in amqp_peer.published[f"events_{dialog}"]]


def command(url="/channels/c1/answer", unique_id="u1"):
    return json.dumps({"unique_id": unique_id, "url": url, "method": "POST", "body": "{}"})


def responses(amqp_peer, dialog, count=1):
    return [json.loads(b) for b in amqp_peer.wait_published(f"responses_{dialog}", count)]


def state(d):
    return json.loads(d.admin("GET", "/api/status").body)


def reason(d, name="rabbit"):
    return next(p for p in state(d)["ports"] if p["name"] == name)["reason"]


def test_the_bytes_are_those_of_go_ari_proxy(start, ari_peer, amqp_peer):
    start()
    dialog = open_call(ari_peer, amqp_peer)
    declared = {p for _, p in amqp_peer.declares}
    for queue in ("hello", f"events_{dialog}", f"commands_{dialog}", f"responses_{dialog}"):
        # durable alone, and no arguments; and with an answer, where go-ari-proxy does without.
        assert DECLARE + short(queue) + b"\x02" + b"\0\0\0\0" in declared
    publish, header = amqp_peer.publishes[0]
    assert publish == struct.pack(">HHH", 60, 40, 0) + short("") + short("hello") + b"\x01"
    body = amqp_peer.published["hello"][0]
    # content-type, headers, delivery-mode, priority.
    assert header == (struct.pack(">HHQH", 60, 0, len(body), 0x8000 | 0x2000 | 0x1000 | 0x0800)
                      + short("application/json") + b"\0\0\0\0" + b"\x01" + b"\0")
    mechanism, response, properties = amqp_peer.logins[0]
    assert (mechanism, response) == ("PLAIN", b"\0guest\0guest")
    assert short("connection_name") + b"S" + struct.pack(">I", 18) + b"voxbus/test/rabbit" in properties
    for capability in ("publisher_confirms", "consumer_cancel_notify", "basic.nack", "connection.blocked",
                       "authentication_failure_close"):
        assert short(capability) + b"t\x01" in properties


def test_frames_in_pieces_are_put_together(start, ari_peer, amqp_peer):
    amqp_peer.pieces = 3
    start()
    dialog = open_call(ari_peer, amqp_peer)
    amqp_peer.publish(f"commands_{dialog}", command())
    assert responses(amqp_peer, dialog)[0]["status_code"] == 204


def test_a_silent_broker_is_noticed_and_nothing_is_lost(start, ari_peer, amqp_peer):
    amqp_peer.heartbeat = 1
    d = start(heartbeat="1s")
    dialog = open_call(ari_peer, amqp_peer)
    d.expect_log("port lost")
    amqp_peer.silent = True
    began = time.monotonic()
    ari_peer.wait_session("hello").send(event("Dial", "hello", channel={"id": "c1"}, peer={"id": "c1"}))
    assert "has been silent" in d.wait_log("port lost", state="stale")["reason"]
    assert "frozen" in d.wait_log("port lost", state="down")["reason"]
    assert 1.5 < time.monotonic() - began < 4
    amqp_peer.silent = False
    d.wait_ready(20)
    wait_until(lambda: len(seqs(amqp_peer, dialog)) >= 2)
    assert seqs(amqp_peer, dialog) == [1, 2]


def test_a_blocking_broker_is_told_of_and_gets_everything_later(start, ari_peer, amqp_peer):
    d = start()
    dialog = open_call(ari_peer, amqp_peer)
    d.expect_log("port lost")
    amqp_peer.block("low on disk")
    wait_until(lambda: "blocks publishers (low on disk)" in reason(d))
    assert not d.ready()
    ari_peer.wait_session("hello").send(*[event("Dial", "hello", peer={"id": "c1"})] * 20)
    amqp_peer.publish(f"commands_{dialog}", command())
    ari_peer.wait_request("POST", "/channels/c1/answer")
    time.sleep(0.3)
    assert seqs(amqp_peer, dialog) == [1]
    amqp_peer.unblock()
    d.wait_ready()
    wait_until(lambda: seqs(amqp_peer, dialog) == list(range(1, 22)))
    assert responses(amqp_peer, dialog)[0]["status_code"] == 204


def test_what_it_refuses_goes_again(start, ari_peer, amqp_peer):
    d = start()
    amqp_peer.nacks = 3
    dialog = open_call(ari_peer, amqp_peer)
    assert seqs(amqp_peer, dialog) == [1]
    assert d.metrics()['voxbus_amqp_nacked_total{port="rabbit",type="amqp"}'] == 3


def test_confirms_of_many_at_once(start, ari_peer, amqp_peer):
    d = start()
    dialog = open_call(ari_peer, amqp_peer)
    amqp_peer.hold = True
    ari_peer.wait_session("hello").send(*[event("Dial", "hello", peer={"id": "c1"})] * 100)
    wait_until(lambda: len(seqs(amqp_peer, dialog)) == 101)
    gauge = 'voxbus_amqp_unconfirmed{port="rabbit",type="amqp"}'
    assert d.metrics()[gauge] == 100
    amqp_peer.confirm()
    wait_until(lambda: d.metrics()[gauge] == 0)
    assert seqs(amqp_peer, dialog) == list(range(1, 102))


@pytest.mark.parametrize("channel", [1, 2, 3, 4])
def test_a_closed_channel_costs_nothing(start, ari_peer, amqp_peer, channel):
    d = start()
    dialog = open_call(ari_peer, amqp_peer)
    d.expect_log("channel closed")
    amqp_peer.hold = channel == 1
    ari_peer.wait_session("hello").send(*[event("Dial", "hello", peer={"id": "c1"})] * 5)
    wait_until(lambda: len(seqs(amqp_peer, dialog)) == 6)
    amqp_peer.close_channel(channel, 406, "PRECONDITION_FAILED - as a test has it")
    amqp_peer.hold = False
    amqp_peer.wait_ready()
    amqp_peer.publish(f"commands_{dialog}", command())
    assert responses(amqp_peer, dialog)[0]["status_code"] == 204
    ari_peer.wait_session("hello").send(event("Dial", "hello", peer={"id": "c1"}))
    wait_until(lambda: 7 in seqs(amqp_peer, dialog))
    # What was not confirmed comes again; in order, each with its number.
    assert seqs(amqp_peer, dialog) == ([1, 2, 3, 4, 5, 6, 2, 3, 4, 5, 6, 7] if channel == 1 else list(range(1, 8)))
    assert amqp_peer.connections == 1


def test_a_queue_deleted_under_a_call_is_there_again(start, ari_peer, amqp_peer):
    d = start()
    dialog = open_call(ari_peer, amqp_peer)
    d.expect_log("consumer cancelled")
    for kind in ("commands", "events", "responses"):
        amqp_peer.delete(f"{kind}_{dialog}")
    amqp_peer.wait(lambda: f"commands_{dialog}" in amqp_peer.queues and amqp_peer.queues[f"commands_{dialog}"].consumers)
    amqp_peer.publish(f"commands_{dialog}", command())
    assert responses(amqp_peer, dialog)[0]["status_code"] == 204
    ari_peer.wait_session("hello").send(*[event("Dial", "hello", peer={"id": "c1"})] * 5)
    wait_until(lambda: len(seqs(amqp_peer, dialog)) == 6)
    assert seqs(amqp_peer, dialog) == list(range(1, 7))


def test_a_wrong_password_is_said_and_is_in_no_log(start, amqp_peer):
    amqp_peer.password = "another"
    d = start(wait=False)
    d.expect_log("port failed")
    line = d.wait_log("port failed")
    assert 'refuses user "guest"' in line["reason"] and "every 30 s" in line["reason"]
    assert "guest:" not in d.output and "another" not in d.output
    time.sleep(1)
    assert amqp_peer.connections == 1


def test_a_broker_that_says_goodbye_is_dialled_again(start, ari_peer, amqp_peer):
    d = start()
    dialog = open_call(ari_peer, amqp_peer)
    d.expect_log("port lost")
    amqp_peer.close(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
    assert "320 CONNECTION_FORCED" in d.wait_log("port lost")["reason"]
    d.wait_ready()
    ari_peer.wait_session("hello").send(event("Dial", "hello", peer={"id": "c1"}))
    wait_until(lambda: len(seqs(amqp_peer, dialog)) == 2)


def test_an_absent_broker_is_found_and_calls_are_held(start, ari_peer, amqp_peer):
    amqp_peer.down()
    d = start(wait=False)
    d.expect_log("port lost")
    assert "is it running" in d.wait_log("port lost")["reason"]
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"), event("Dial", "hello", peer={"id": "c1"}))
    time.sleep(0.3)
    amqp_peer.up()
    d.wait_ready(20)
    dialog = json.loads(amqp_peer.wait_published("hello")[0])["dialog_id"]
    wait_until(lambda: len(amqp_peer.published.get(f"events_{dialog}", ())) == 2)
    assert seqs(amqp_peer, dialog) == [1, 2]


def test_the_next_broker_is_taken_when_the_first_is_gone(start, ari_peer, amqp_peer):
    with AmqpPeer() as second:
        d = start(failover=[second.url])
        dialog = open_call(ari_peer, amqp_peer)
        d.expect_log("port lost")
        amqp_peer.down()
        second.wait_ready()
        ari_peer.wait_session("hello").send(event("Dial", "hello", peer={"id": "c1"}))
        second.wait_published(f"events_{dialog}")
        assert f"127.0.0.1:{second.port}" in d.events("connected")[-1]["broker"]
        second.publish(f"commands_{dialog}", command())
        assert responses(second, dialog)[0]["status_code"] == 204
        amqp_peer.up()
        second.down()
        amqp_peer.wait_ready()
        d.wait_ready()
        d.stop()


@pytest.mark.limit(90)
def test_a_frozen_broker_fills_what_it_may_and_the_others_do_not_notice(daemon, ari_peer, amqp_peer):
    amqp_peer.heartbeat = 3
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello", "other")],
                "buses": [bus(amqp_peer.url, heartbeat="3s"), {"type": "longpoll", "name": "http"}],
                "applications": [{"name": "hello", "bus": "rabbit"}, {"name": "other", "bus": "http"}]})
    d.wait_ready()
    session = ari_peer.wait_session("hello")
    calls = [f"c{i}" for i in range(60)]
    session.send(*[stasis_start(c, "hello") for c in calls])
    amqp_peer.wait_published("hello", len(calls))
    memory = d.metrics()["voxbus_process_resident_memory_bytes"]
    d.expect_log("port lost")
    amqp_peer.frozen = True
    large = "x" * 20000
    for _ in range(40):
        session.send(*[event("Dial", "hello", peer={"id": c}, x=large) for c in calls])
    # The other bus, and the admin API, answer at once all the while.
    ari_peer.wait_session("other").send(stasis_start("o1", "other"))
    dialog = d.pubsub().wait_dialog("other")
    slowest = 0
    until = time.monotonic() + 2
    while time.monotonic() < until:
        began = time.monotonic()
        assert dialog.command("POST", "/channels/o1/answer")["status_code"] == 204
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.5, slowest
    m = d.metrics()
    assert m['voxbus_amqp_unconfirmed{port="rabbit",type="amqp"}'] <= 4096
    assert m["voxbus_process_resident_memory_bytes"] - memory < 150e6
    d.wait_log("port lost", state="down", timeout=20)
    amqp_peer.frozen = False
    d.wait_ready(30)
    want = len(calls) * 41

    def distinct():
        return sum(len({json.loads(b)["seq"] for b in list(bodies)}) for queue, bodies in list(amqp_peer.published.items())
                   if queue.startswith("events_"))
    wait_until(lambda: distinct() == want, 40, "events are lost", every=0.5)
    # In order: a number that was not there before is the next one.
    for queue, bodies in amqp_peer.published.items():
        if queue.startswith("events_"):
            newest = 0
            for body in bodies:
                seq = json.loads(body)["seq"]
                assert seq <= newest + 1, queue
                newest = max(newest, seq)


def test_what_is_no_command_is_answered(start, ari_peer, amqp_peer):
    d = start()
    dialog = open_call(ari_peer, amqp_peer)
    d.expect_log("bad command")
    for text in ("DUMMY", "nothing", '{"method":"GET"}', command()):
        amqp_peer.publish(f"commands_{dialog}", text)
    got = responses(amqp_peer, dialog, 3)
    assert sorted(r["status_code"] for r in got) == [204, 400, 400]
    assert [r for r in got if r["status_code"] == 400][0]["unique_id"] == ""
    wait_until(lambda: sorted(amqp_peer.acked) == [1, 2, 3, 4])
    line = d.wait_log("bad command")
    assert line["topic"] == f"commands_{dialog}" and "not valid JSON" in line["reason"]
    assert len(d.events("bad command")) == 1


def test_a_command_that_comes_again_is_done_once(start, ari_peer, amqp_peer):
    start()
    dialog = open_call(ari_peer, amqp_peer)
    for redelivered in (False, True, True, False):
        amqp_peer.publish(f"commands_{dialog}", command(unique_id=""), redelivered)
    wait_until(lambda: len(amqp_peer.published.get(f"responses_{dialog}", ())) >= 2)
    wait_until(lambda: len(amqp_peer.acked) == 4)
    time.sleep(0.3)
    # The first, and the last, which the client has sent itself.
    assert len([r for r in ari_peer.requests if r.path == "/channels/c1/answer"]) == 2


def test_queues_go_and_a_restart_knows_of_those_that_are_left(start, ari_peer, amqp_peer):
    d = start(queue_grace="1s", queue_sweep="3s", queue_age_max="6s")
    session = ari_peer.wait_session("hello")
    first = open_call(ari_peer, amqp_peer)
    second = open_call(ari_peer, amqp_peer, "c2", known=[first])
    third = open_call(ari_peer, amqp_peer, "c3", known=[first, second])

    def queues(dialog):
        return sorted(n for n in amqp_peer.queues if n.endswith(dialog))
    assert len(queues(first)) == len(queues(second)) == len(queues(third)) == 3
    # Nobody reads the first one's events.
    session.send(stasis_end("c1", "hello"), stasis_end("c2", "hello"))
    wait_until(lambda: len(amqp_peer.published[f"events_{second}"]) == 2)
    d.kill()
    # What a restarted voxbus finds at Asterisk: the third call alone.
    there = channel("c3", app="hello")
    there["dialplan"] |= {"app_name": "Stasis", "app_data": "hello"}
    ari_peer.answer("GET", "/channels", 200, [there])
    ari_peer.answer("GET", "/applications/hello", 200, {"name": "hello", "channel_ids": ["c3"], "bridge_ids": []})
    d.start()
    d.wait_ready()

    def read_second():
        queue = amqp_peer.queues.get(f"events_{second}")
        if queue:
            queue.messages.clear()
        return not queues(second)
    wait_until(read_second, 30)
    wait_until(lambda: queues(first) == [f"events_{first}"])
    d.expect_log("queue deleted unread")
    wait_until(lambda: not queues(first), 30)
    assert d.wait_log("queue deleted unread")["queue"] == f"events_{first}"
    # The third lives.
    assert len(queues(third)) == 3
    assert not amqp_peer.deleted.count(f"events_{third}")
    d.stop()
