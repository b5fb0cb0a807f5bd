# SPDX-License-Identifier: MIT
"""The daemon with a scripted Asterisk: it starts, gets ready, carries one call, and stops in order."""
import json

import harness
from ari_peer import stasis_start


def serving_test(peer):
    return {"engines": [harness.ari_engine(peer.url, "test")], "applications": harness.applications("test")}


def test_gets_ready_and_stops_in_order(daemon, ari_peer):
    d = daemon(serving_test(ari_peer)).wait_ready()
    assert ari_peer.wait_session("test").apps == ["test"]
    assert d.healthy()


def test_events_reach_a_poller_byte_for_byte(daemon, ari_peer):
    d = daemon(serving_test(ari_peer)).wait_ready()
    sent = [f.decode() for f in ari_peer.wait_session("test").send_fixture("a22-answer-hangup")]
    dialog = d.pubsub().wait_dialog("test")
    dialog.wait_event("StasisEnd")
    got = [e["ari_body"] for e in dialog.seen]
    start = next(text for text in sent if json.loads(text)["type"] == "StasisStart")
    assert got[0] == start
    assert set(got) <= set(sent)


def test_command_is_carried_out_and_answered(daemon, ari_peer):
    d = daemon(serving_test(ari_peer)).wait_ready()
    ari_peer.wait_session("test").send(stasis_start("c1", "test"))
    dialog = d.pubsub().wait_dialog("test")
    dialog.wait_event("StasisStart")
    assert dialog.command("POST", "/channels/c1/answer")["status_code"] == 204
    assert len([r for r in ari_peer.requests if r.path == "/channels/c1/answer"]) == 1


def test_asterisk_that_comes_late_is_found(daemon, ari_peer):
    ari_peer.down()
    d = daemon(serving_test(ari_peer))
    d.expect_log("port lost")
    assert not d.ready()
    ari_peer.up()
    d.wait_ready(20)
