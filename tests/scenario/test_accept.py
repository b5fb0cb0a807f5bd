# SPDX-License-Identifier: MIT
"""Calls that a worker must accept in time: the next one gets them, and in the end the dialplan."""
import pytest

from ari_peer import channel, event, stasis_end, stasis_start
from harness import Dialog, applications, ari_engine, wait_until


def start(daemon, peer, within="1s", tries=2, **more):
    d = daemon({"engines": [ari_engine(peer.url, "hello")],
                "applications": applications("hello", accept={"within": within, "tries": tries}, **more)})
    d.wait_ready()
    session = peer.wait_session("hello")
    session.send(stasis_start("c1", "hello"))
    session.send(event("ChannelHold", "hello", channel=channel("c1")))
    return d, session


def announced(d, timeout=5):
    start_, = d.pubsub().poll("hello", timeout=timeout, max=1)
    return Dialog(d.pubsub(), start_)


def test_call_that_nobody_accepts_is_the_next_workers(daemon, ari_peer):
    d, session = start(daemon, ari_peer)
    late = announced(d)
    dialog = announced(d)
    assert dialog.id != late.id
    dialog.wait_event("ChannelHold")
    assert [(e["type"], e["seq"]) for e in dialog.seen] == [("StasisStart", 1), ("ChannelHold", 2)]
    assert {e["dialog_id"] for e in dialog.seen} == {dialog.id}
    assert dialog.command("POST", "/channels/c1/answer")["status_code"] == 204
    # the late one finds nothing and can do nothing
    assert late.events(timeout=0) == []
    assert d.pubsub().post(f"commands_{late.id}", {"method": "DELETE", "url": "/channels/c1"}).status == 404
    session.send(stasis_end("c1", "hello"))
    dialog.wait_event("StasisEnd")
    assert d.metrics()["voxbus_hub_calls_announced_again_total"] == 1
    assert d.metrics()["voxbus_hub_dialogs"] == 1


@pytest.mark.parametrize("how", ["dummy", "command", "poll"])
def test_whoever_says_anything_has_the_call(daemon, ari_peer, how):
    d, _ = start(daemon, ari_peer)
    dialog = announced(d)
    if how == "dummy":
        assert d.pubsub().post(f"commands_{dialog.id}", "DUMMY").status == 200
    elif how == "command":
        dialog.send("POST", "/channels/c1/answer")
    else:
        assert dialog.events()
    assert d.pubsub().poll("hello", timeout=2.5) == []
    assert dialog.command("POST", "/channels/c1/hold")["status_code"] == 204
    assert d.metrics()["voxbus_hub_calls_announced_again_total"] == 0


def releases(peer):
    return [(r.path, r.query) for r in peer.requests if r.method == "POST" and r.path.startswith("/channels/c")]


WANTED = [("/channels/c1/variable", {"variable": "VOXBUS_STATUS", "value": "UNACCEPTED"}), ("/channels/c1/continue", {})]


@pytest.mark.parametrize("way", ["http", "websocket"])
def test_call_that_nobody_wants_goes_on_in_the_dialplan(daemon, ari_peer, way):
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello", rest=way)],
                "applications": applications("hello", accept={"within": "500ms", "tries": 1})})
    d.wait_ready()
    session = ari_peer.wait_session("hello")
    session.send(stasis_start("c1", "hello"))
    wait_until(lambda: d.metrics()["voxbus_hub_calls_released_unaccepted_total"] == 1)
    if way == "http":
        wait_until(lambda: releases(ari_peer) == WANTED)
    else:
        wait_until(lambda: [r["uri"] for r in ari_peer.websocket_requests if r["method"] == "POST"] ==
                   ["channels/c1/variable?variable=VOXBUS_STATUS&value=UNACCEPTED", "channels/c1/continue"])
    assert d.metrics()["voxbus_hub_dialogs"] == 0
    session.send(stasis_end("c1", "hello"))  # nobody's
    late = announced(d)
    assert late.events(timeout=0) == []


def test_release_is_tried_again_until_asterisk_takes_it(daemon, ari_peer):
    ari_peer.answer("POST", "/channels/c1/continue", 500, {"message": "later"})
    d, _ = start(daemon, ari_peer, within="500ms", tries=1)
    wait_until(lambda: releases(ari_peer).count(WANTED[1]) >= 2)
    ari_peer.answer("POST", "/channels/c1/continue", 204, None)
    n = len(releases(ari_peer))
    wait_until(lambda: len(releases(ari_peer)) > n)
    assert releases(ari_peer)[0] == WANTED[0] and releases(ari_peer).count(WANTED[0]) == 1
    d.stop()


def test_channel_that_has_gone_needs_no_release(daemon, ari_peer):
    ari_peer.answer("POST", "/channels/c1/variable", 404, {"message": "Channel not found"})
    d, _ = start(daemon, ari_peer, within="500ms", tries=1)
    wait_until(lambda: d.metrics()["voxbus_hub_calls_released_unaccepted_total"] == 1)
    wait_until(lambda: releases(ari_peer) == WANTED[:1])
    assert d.pubsub().poll("nothing", timeout=1) == [] and releases(ari_peer) == WANTED[:1]


def test_restart_in_the_middle_of_it(daemon, ari_peer):
    d, _ = start(daemon, ari_peer, within="2s", tries=2)
    first = announced(d)
    d.kill()
    ari_peer.answer("GET", "/channels", 200, [channel("c1", app="hello")])
    ari_peer.answer("GET", "/applications/hello", 200, {"name": "hello", "channel_ids": ["c1"], "bridge_ids": []})
    d.start()
    d.wait_ready()
    second = announced(d, 8)
    if second.id == first.id:  # what was read in the last moment may come again
        second = announced(d, 8)
    assert second.id != first.id
    second.wait_event("ChannelHold")
    assert [(e["type"], e["seq"]) for e in second.seen][:2] == [("StasisStart", 1), ("ChannelHold", 2)]
