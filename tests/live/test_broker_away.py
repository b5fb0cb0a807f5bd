# SPDX-License-Identifier: MIT
"""What an application says of the time in which its broker is away, and what is kept of a call that was delivered."""
import json
import time

from ari_peer import event, stasis_end, stasis_start
from harness import applications, ari_engine, wait_until
from nats_server import number


def start(daemon, peer, server, **more):
    d = daemon({"engines": [ari_engine(peer.url, "hello")], "buses": [{"type": "nats", "name": "main", "url": server.url()}],
                "applications": applications("hello", bus="main", **more)})
    d.wait_ready()
    return d


def varset(value):
    return event("ChannelVarset", "hello", variable="V", value=str(value), channel={"id": "c1"})


def open_call(d, peer, client):
    """Call c1, whose StasisStart has been delivered: its dialog."""
    client.tell("work", application="hello")
    peer.wait_session("hello").send(stasis_start("c1", "hello"))
    dialog = client.next("hello")["dialog_id"]
    client.event(dialog, "StasisStart")
    wait_until(lambda: number(d, "in_flight") == 0)  # else it comes again behind a kill
    return dialog


def test_calls_go_on_in_the_dialplan_while_the_broker_is_away(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server, while_away={"policy": "refuse"})
    d.expect_log("port lost")
    client = nats_client()
    dialog = open_call(d, ari_peer, client)
    for channel in ("c2", "c3"):
        ari_peer.answer("POST", f"/channels/{channel}/variable", 204, None)
        ari_peer.answer("POST", f"/channels/{channel}/continue", 204, None)
    nats_server.kill()
    d.wait_log("port lost")
    session = ari_peer.wait_session("hello")
    session.send(stasis_start("c2", "hello"), varset("waits"))
    said = ari_peer.wait_request("POST", "/channels/c2/variable")
    assert said.query == {"variable": "VOXBUS_STATUS", "value": "AWAY"}
    ari_peer.wait_request("POST", "/channels/c2/continue")
    nats_server.start()
    # The call that was open has what came meanwhile, and the refused one never was.
    assert json.loads(client.event(dialog, "ChannelVarset", 20)["ari_body"])["value"] == "waits"
    session.send(stasis_start("c3", "hello"))
    assert client.next("hello", 10)["seq"] == 2
    assert d.metrics()["voxbus_hub_calls_released_away_total"] == 1
    assert not [r for r in ari_peer.requests if r.path == "/channels/c3/continue"]


def test_of_what_waits_the_newest_stay(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server, while_away={"policy": "hold", "events_max": 10})
    d.expect_log("port lost", "held events dropped")
    client = nats_client()
    dialog = open_call(d, ari_peer, client)
    nats_server.kill()
    d.wait_log("port lost")
    session = ari_peer.wait_session("hello")
    for i in range(50):  # one by one: what is not on the disk yet can't go
        session.send(varset(i))
        time.sleep(0.02)
    session.send(varset(50))
    wait_until(lambda: d.metrics()["voxbus_hub_away_dropped_messages_total"] >= 40)
    nats_server.start()
    got = [client.event(dialog, "ChannelVarset", 20) for _ in range(10)]
    assert [json.loads(e["ari_body"])["value"] for e in got] == [str(i) for i in range(41, 51)]
    assert [e["seq"] for e in got] == list(range(43, 53))  # the gap is seen


def test_a_call_that_was_delivered_is_replayed_on_the_broker(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server, keep="1h")
    client = nats_client()
    dialog = open_call(d, ari_peer, client)
    ari_peer.wait_session("hello").send(*[varset(i) for i in range(3)], stasis_end("c1", "hello"))
    client.event(dialog, "StasisEnd")
    live = [json.loads(m) for m in client.of(f"events_{dialog}")]
    client.tell("sub", subject=f"replay_{dialog}")
    done = d.cli("replay", dialog, "--speed", "0")
    assert done.returncode == 0, done
    again = [json.loads(m) for m in client.wait(f"replay_{dialog}", len(live))]
    assert [e.pop("replay") for e in again] == [e["seq"] for e in live]
    assert again == live
