# SPDX-License-Identifier: MIT
"""Types of events that an application drops: Asterisk is asked not to send them, and they are dropped anyway."""
import json

from ari_peer import channel, event, stasis_end, stasis_start
from harness import ari_engine

DROP = ["ChannelVarset", "PlaybackFinished"]


def start(daemon, peer, drop, **more):
    d = daemon({"engines": [ari_engine(peer.url, "hello", **more)],
                "applications": [{"name": "hello", "bus": "http", "events": {"drop": drop}}]})
    d.wait_ready()
    return d


def one_call(d, peer):
    peer.wait_session("hello").send(stasis_start("c1", "hello"), event("ChannelVarset", "hello", channel=channel("c1")),
                                    stasis_end("c1", "hello"))
    dialog = d.pubsub().wait_dialog("hello")
    dialog.wait_event("StasisEnd")
    assert [e["type"] for e in dialog.seen] == ["StasisStart", "StasisEnd"]


def test_asterisk_is_asked_after_each_connect(daemon, ari_peer):
    d = start(daemon, ari_peer, DROP)
    asked = ari_peer.wait_request("PUT", "/applications/hello/eventFilter")
    assert json.loads(asked.body) == {"disallowed": [{"type": "ChannelVarset"}]}, "a playback's end is noted here"
    one_call(d, ari_peer)
    d.expect_log("port lost")
    ari_peer.sessions[-1].drop()
    ari_peer.wait_request("PUT", "/applications/hello/eventFilter", count=2)
    d.wait_ready()


def test_nothing_is_asked_when_nothing_is_dropped(daemon, ari_peer):
    start(daemon, ari_peer, [])
    assert not [r for r in ari_peer.requests if r.method == "PUT"]


def test_asterisk_that_knows_no_filter_is_no_hindrance(daemon, ari_peer):
    ari_peer.answer("PUT", "/applications/hello/eventFilter", 404, {"message": "Resource not found"})
    d = start(daemon, ari_peer, DROP)
    one_call(d, ari_peer)
    assert d.events("no event filter")[0]["status"] == "404"
    assert [v for k, v in d.metrics().items() if k == "voxbus_hub_filtered_events_total"] == [1]


def test_filter_goes_by_the_websocket_too(daemon, ari_peer):
    d = start(daemon, ari_peer, DROP, rest="websocket")
    assert [r["uri"] for r in ari_peer.websocket_requests if r["method"] == "PUT"] == ["applications/hello/eventFilter"]
    one_call(d, ari_peer)
