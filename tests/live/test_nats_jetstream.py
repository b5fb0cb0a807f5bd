# SPDX-License-Identifier: MIT
"""The bus `nats` with JetStream: at least once both ways, by a stream, with a real nats-server and a foreign client."""
import json
import time

import pytest

from ari_peer import event, stasis_start
from harness import applications, ari_engine, wait_until
from nats_server import number

pytestmark = pytest.mark.nats('jetstream {store_dir: "@DIR@/js"}')


def start(daemon, peer, server, wait=True, stream=None, **more):
    d = daemon({"engines": [ari_engine(peer.url, "hello")],
                "buses": [{"type": "nats", "name": "main", "url": server.url(),
                           "jetstream": {"stream": "CALLS", **(stream or {})}, **more}],
                "applications": applications("hello", bus="main")})
    if wait:
        d.wait_ready()
    return d


def more(peer, numbers):
    for k in numbers:
        peer.wait_session("hello").send(
            event("ChannelVarset", "hello", variable="V", value=str(k), channel={"id": "c1"}))


def values(client, dialog, count, timeout=10):
    got = [json.loads(m) for m in client.wait(f"voxbus.events.{dialog}", count, timeout)]
    assert got[0]["type"] == "StasisStart"
    return [json.loads(m["ari_body"])["value"] for m in got[1:]]


def consume(client, dialog=None):
    """From the stream, from its beginning."""
    if dialog is None:
        client.tell("stream", stream="CALLS", subject="voxbus.apps.hello", durable="apps")
        dialog = client.next("voxbus.apps.hello")["dialog_id"]
    client.tell("stream", stream="CALLS", subject=f"voxbus.events.{dialog}", durable="events")
    client.tell("stream", stream="CALLS", subject=f"voxbus.responses.{dialog}", durable="responses")
    return dialog


def command(client, dialog, unique_id, method="POST", url="/channels/c1/answer", timeout=10):
    client.tell("pub", subject=f"voxbus.commands.{dialog}",
                data=json.dumps({"unique_id": unique_id, "url": url, "method": method, "body": ""}))
    return client.next(f"voxbus.responses.{dialog}", timeout)


def test_worker_that_comes_after_the_call_gets_all_of_it(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server)
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    more(ari_peer, range(300))
    wait_until(lambda: number(d, "in_flight") == 0)
    client = nats_client()
    dialog = consume(client)
    assert values(client, dialog, 301) == [str(k) for k in range(300)]
    ari_peer.answer("POST", "/channels/c1/answer", 204, None)
    for i in range(600):  # more than is asked for at a time
        client.tell("pub", subject=f"voxbus.commands.{dialog}",
                    data=json.dumps({"unique_id": str(i), "url": "/channels/c1/answer", "method": "POST", "body": ""}))
    for i in range(600):
        answer = client.next(f"voxbus.responses.{dialog}")
        assert (answer["unique_id"], answer["status_code"]) == (str(i), 204)
    assert number(d, "commands_lost") == 0 and number(d, "not_stored") == 0


def test_dummy_and_nonsense_are_done_with(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server)
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    client = nats_client()
    dialog = consume(client)
    for data in ("DUMMY", "{", '{"method":1}'):
        client.tell("pub", subject=f"voxbus.commands.{dialog}", data=data)
    client.tell("pub", subject="voxbus.commands.00000000-0000-0000-0000-000000000000",
                data='{"method":"GET","url":"/x"}')
    assert [client.next(f"voxbus.responses.{dialog}")["status_code"] for _ in range(2)] == [400, 400]
    wait_until(lambda: number(d, "commands_unknown") == 1)
    assert number(d, "dummies") == 1
    # All of them are acknowledged: nothing comes to the next run.
    time.sleep(0.2)
    d.restart()
    d.wait_ready()
    time.sleep(0.5)
    assert number(d, "dummies") == 0 and number(d, "commands_unknown") == 0


def test_nothing_twice_in_the_stream_after_a_restart_of_the_server(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server)
    d.expect_log("port lost")
    session = ari_peer.wait_session("hello")
    session.send(stasis_start("c1", "hello"))
    for n in range(5):
        more(ari_peer, range(n * 200, n * 200 + 200))
        nats_server.kill()
        d.wait_log("port lost", state="down", count=n + 1)
        nats_server.start()
        d.wait_ready()
    client = nats_client()
    dialog = consume(client)
    assert values(client, dialog, 1001, 20) == [str(k) for k in range(1000)]
    time.sleep(0.5)
    assert len(client.of(f"voxbus.events.{dialog}")) == 1001
    assert len(client.of("voxbus.apps.hello")) == 1


def test_result_is_kept_for_a_command_that_comes_again(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server)
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    ari_peer.answer("POST", "/channels/c1/answer", 204, None)
    client = nats_client()
    dialog = consume(client)
    values(client, dialog, 1)
    states = d.metrics()["voxbus_journal_states"]
    client.tell("pub", subject=f"voxbus.commands.{dialog}",
                data='{"unique_id":"1","url":"/channels/c1/answer","method":"POST","body":""}')
    assert client.next(f"voxbus.responses.{dialog}")["status_code"] == 204
    assert d.metrics()["voxbus_journal_states"] == states + 1


def test_command_sent_while_the_daemon_is_away_is_carried_out(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server)
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    client = nats_client()
    dialog = consume(client)
    values(client, dialog, 1)
    ari_peer.answer("GET", "/channels/c1", 200, {"id": "c1"})
    ari_peer.answer("GET", "/channels", 200, [{"id": "c1"}])
    ari_peer.answer("GET", "/applications/hello", 200, {"name": "hello", "channel_ids": ["c1"]})
    d.kill()
    client.tell("pub", subject=f"voxbus.commands.{dialog}",
                data='{"unique_id":"later","url":"/channels/c1","method":"GET","body":""}')
    d.start()
    d.wait_ready()
    assert client.next(f"voxbus.responses.{dialog}")["unique_id"] == "later"


def test_stream_with_other_subjects_is_refused_in_words(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server)
    d.stop()
    d = start(daemon, ari_peer, nats_server, wait=False, stream={"prefix": "other"})
    d.expect_log("port failed")
    reason = d.wait_log("port failed")["reason"]
    assert "CALLS" in reason and "voxbus.>" in reason and "other.>" in reason


def test_two_streams_can_not_have_the_same_subjects(daemon, ari_peer, nats_server):
    d = start(daemon, ari_peer, nats_server)
    d.stop()
    d = start(daemon, ari_peer, nats_server, wait=False, stream={"stream": "OTHER"})
    d.expect_log("port failed")
    assert "overlap" in d.wait_log("port failed")["reason"]


@pytest.mark.nats("")
def test_server_without_jetstream_is_said(daemon, ari_peer, nats_server):
    d = start(daemon, ari_peer, nats_server, wait=False)
    d.expect_log("port failed", "port lost")
    assert "JetStream is not enabled" in d.wait_log("port failed")["reason"]


def test_stream_that_is_deleted_is_made_again(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server)
    d.expect_log("port lost")
    client = nats_client()
    client.tell("delete", stream="CALLS")
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    more(ari_peer, range(20))
    assert "stream is gone" in d.wait_log("port lost")["reason"]
    d.wait_ready()
    wait_until(lambda: number(d, "in_flight") + number(d, "held") == 0)
    dialog = consume(client)
    assert values(client, dialog, 21) == [str(k) for k in range(20)]


@pytest.mark.limit(60)
def test_frozen_server(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server)
    d.expect_log("port lost")
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    more(ari_peer, range(100))
    nats_server.freeze()
    more(ari_peer, range(100, 1000))
    d.wait_log("port lost", 4, state="stale")
    nats_server.thaw()
    d.wait_ready()
    client = nats_client()
    dialog = consume(client)
    assert values(client, dialog, 1001, 20) == [str(k) for k in range(1000)]
    assert number(d, "reconnects") == 0
