# SPDX-License-Identifier: MIT
"""Types of events that an application does not want, and types that are not worth reading late."""
import json
import time

from ari_peer import channel, event, stasis_end, stasis_start
from harness import applications, ari_engine


def config(peer, **events):
    return {"engines": [ari_engine(peer.url, "hello")], "applications": applications("hello", events=events),
            "dialogs": {"linger": "1s"}}


def call(d, peer):
    session = peer.wait_session("hello")
    session.send(stasis_start("c1", "hello"))
    dialog = d.pubsub().wait_dialog("hello")
    dialog.wait_event("StasisStart")
    return session, dialog


def test_dropped_types_never_come(daemon, ari_peer):
    d = daemon(config(ari_peer, drop=["ChannelVarset", "ChannelHold"]))
    d.wait_ready()
    session, dialog = call(d, ari_peer)
    for kind in ("ChannelVarset", "ChannelHold", "ChannelUnhold"):
        session.send(event(kind, "hello", channel=channel("c1")))
    session.send(stasis_end("c1", "hello"))
    dialog.wait_event("StasisEnd")
    assert [e["type"] for e in dialog.seen] == ["StasisStart", "ChannelUnhold", "StasisEnd"]
    assert [e["seq"] for e in dialog.seen] == [1, 2, 3]
    assert d.metrics()["voxbus_hub_filtered_events_total"] in (0, 2)  # 0: Asterisk was asked not to send them


def test_who_comes_late_does_not_get_what_has_grown_old(daemon, ari_peer):
    d = daemon(config(ari_peer, ttl={"ChannelDtmfReceived": "1s"}))
    d.wait_ready()
    session, dialog = call(d, ari_peer)
    session.send(event("ChannelDtmfReceived", "hello", digit="1", channel=channel("c1")))
    assert dialog.wait_event("ChannelDtmfReceived")["digit"] == "1"
    session.send(event("ChannelDtmfReceived", "hello", digit="2", channel=channel("c1")))
    session.send(event("ChannelUnhold", "hello", channel=channel("c1")))
    time.sleep(1.2)
    session.send(event("ChannelDtmfReceived", "hello", digit="3", channel=channel("c1")))
    assert dialog.wait_event("ChannelDtmfReceived")["digit"] == "3"
    assert [e["seq"] for e in dialog.seen] == [1, 2, 4, 5]
    assert d.metrics()["voxbus_streams_expired_messages_total"] == 1


def test_time_to_live_goes_on_while_the_daemon_is_away(daemon, ari_peer):
    d = daemon(config(ari_peer, ttl={"ChannelDtmfReceived": "2s", "ChannelHold": "1h"}))
    d.wait_ready()
    session, dialog = call(d, ari_peer)
    session.send(event("ChannelDtmfReceived", "hello", digit="1", channel=channel("c1")))
    session.send(event("ChannelHold", "hello", channel=channel("c1")))
    assert dialog.command("POST", "/channels/c1/answer")["status_code"] == 204  # the events are written by now
    d.kill()
    time.sleep(2)
    ari_peer.answer("GET", "/channels", 200, [channel("c1")])
    d.start()
    d.wait_ready()
    dialog.wait_event("ChannelHold")
    assert "ChannelDtmfReceived" not in [e["type"] for e in dialog.seen]


def test_events_of_no_call_come_on_the_applications_own_topic(daemon, ari_peer):
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello")],
                "applications": applications("hello", application_events=True)})
    d.wait_ready()
    session, dialog = call(d, ari_peer)
    state = json.dumps(event("DeviceStateChanged", "hello", device_state={"name": "PJSIP/a", "state": "INUSE"}))
    session.send(state)
    session.send(event("ChannelHold", "hello", channel=channel("c1")))
    dialog.wait_event("ChannelHold")
    d.kill()  # what was not read is still there
    ari_peer.answer("GET", "/channels", 200, [channel("c1")])
    d.start()
    envelope, = d.pubsub().poll("events_hello")
    assert list(envelope) == ["server_id", "timestamp", "type", "ari_body", "dialog_id", "application", "seq"]
    assert envelope["ari_body"] == state and envelope["dialog_id"] == "" and envelope["seq"] == 1
    assert "DeviceStateChanged" not in [e["type"] for e in dialog.seen]


def test_events_of_no_call_are_counted_where_nobody_wants_them(daemon, ari_peer):
    d = daemon(config(ari_peer))
    d.wait_ready()
    session, dialog = call(d, ari_peer)
    session.send(event("DeviceStateChanged", "hello", device_state={"name": "PJSIP/a", "state": "INUSE"}))
    session.send(event("ChannelHold", "hello", channel=channel("c1")))
    dialog.wait_event("ChannelHold")
    assert d.pubsub().poll("events_hello", timeout=0) == []
    assert d.metrics()["voxbus_hub_unowned_events_total"] == 1
