# SPDX-License-Identifier: MIT
"""What happened while the link was away is found out and told, marked as found out."""
import time

from ari_peer import channel, event, stasis_end, stasis_start
from harness import applications, ari_engine


def start(daemon, peer, **more):
    d = daemon({"engines": [ari_engine(peer.url, "hello", **more)], "applications": applications("hello")})
    d.expect_log("port lost", "port failed")
    d.wait_ready()
    return d


def stasis_channel(cid, args="hello,a"):
    return channel(cid, app=args)


def asterisk_has(peer, *channels, bridges=(), ids=None):
    """What the three questions of a resync are answered with from now on."""
    ids = [c["id"] for c in channels] if ids is None else ids
    peer.answer("GET", "/channels", 200, list(channels))
    peer.answer("GET", "/bridges", 200, [{"id": b, "channels": []} for b in bridges])
    peer.answer("GET", "/applications/hello", 200, {"name": "hello", "channel_ids": ids, "bridge_ids": []})


def new_call(d, peer, cid):
    peer.wait_session("hello").send(stasis_start(cid, "hello", ["a"]))
    dialog = d.pubsub().wait_dialog("hello")
    dialog.wait_event("StasisStart")
    return dialog


def gap(d, peer):
    """The link is lost and made anew."""
    n = len(peer.sessions)
    peer.sessions[-1].drop()
    peer.wait(lambda: len(peer.sessions) > n, what="not dialled again")
    d.wait_ready(15)


def test_call_that_ended_in_the_gap_ends(daemon, ari_peer):
    d = start(daemon, ari_peer)
    dialog = new_call(d, ari_peer, "c1")
    state = channel("c1", app="hello,a")
    state["accountcode"] = "last-known"
    ari_peer.wait_session("hello").send(event("ChannelStateChange", "hello", channel=state))
    dialog.wait_event("ChannelStateChange")
    asterisk_has(ari_peer)
    gap(d, ari_peer)
    end = dialog.wait_event("StasisEnd")
    assert end["voxbus_resync"] is True and end["application"] == "hello"
    assert end["channel"] == state
    gone = dialog.wait_event("ChannelDestroyed")
    assert gone["voxbus_resync"] is True and gone["channel"] == state and gone["cause"] == 0


def test_call_that_goes_on_is_left_alone(daemon, ari_peer):
    d = start(daemon, ari_peer)
    dialog = new_call(d, ari_peer, "c1")
    asterisk_has(ari_peer, channel("c1", "Ring", app="hello,a"))
    gap(d, ari_peer)
    ari_peer.wait_session("hello").send(event("ChannelVarset", "hello", channel=channel("c1")))
    dialog.wait_event("ChannelVarset")
    assert [e["type"] for e in dialog.seen] == ["StasisStart", "ChannelVarset"]
    ari_peer.wait_session("hello").send(stasis_end("c1", "hello"))
    dialog.wait_event("StasisEnd")


def test_call_that_was_answered_in_the_gap_says_how_it_stands(daemon, ari_peer):
    d = start(daemon, ari_peer)
    dialog = new_call(d, ari_peer, "c1")
    here = stasis_channel("c1")
    asterisk_has(ari_peer, here)
    gap(d, ari_peer)
    stands = dialog.wait_event("ChannelStateChange")
    assert stands["voxbus_resync"] is True and stands["channel"] == here
    gap(d, ari_peer)
    ari_peer.wait_session("hello").send(stasis_end("c1", "hello"))
    dialog.wait_event("StasisEnd")
    assert [e["type"] for e in dialog.seen] == ["StasisStart", "ChannelStateChange", "StasisEnd"], "said once"


def test_end_that_the_answers_overtook_comes_once(daemon, ari_peer):
    d = start(daemon, ari_peer)
    dialog = new_call(d, ari_peer, "c1")
    asterisk_has(ari_peer)
    bridges = []
    ari_peer.answer("GET", "/bridges", 200, lambda _: (bridges.append(1), (200, []))[1])
    n = len(ari_peer.sessions)
    ari_peer.sessions[-1].drop()
    ari_peer.wait(lambda: len(ari_peer.sessions) > n and bridges, what="not asked")
    ari_peer.wait_session("hello").send(stasis_end("c1", "hello"))
    d.wait_ready(15)
    assert "voxbus_resync" not in dialog.wait_event("StasisEnd")
    ari_peer.wait_session("hello").send(stasis_start("c2", "hello"))
    d.pubsub().wait_dialog("hello").wait_event("StasisStart")
    assert [e["type"] for e in dialog.seen + dialog.events(0.3)] == ["StasisStart", "StasisEnd"]


def test_call_that_left_the_application_in_the_gap_leaves(daemon, ari_peer):
    d = start(daemon, ari_peer)
    dialog = new_call(d, ari_peer, "c1")
    elsewhere = channel("c1")
    elsewhere["dialplan"]["app_name"] = "Playback"
    asterisk_has(ari_peer, elsewhere, ids=[])
    gap(d, ari_peer)
    assert dialog.wait_event("StasisEnd")["channel"] == elsewhere


def test_call_that_came_in_the_gap_opens_a_dialog(daemon, ari_peer):
    d = start(daemon, ari_peer)
    asterisk_has(ari_peer, stasis_channel("new", "hello,x,y"), stasis_channel("foreign", "other,x"))
    gap(d, ari_peer)
    dialog = d.pubsub().wait_dialog("hello")
    begin = dialog.wait_event("StasisStart")
    assert begin["channel"]["id"] == "new" and begin["args"] == ["x", "y"] and begin["voxbus_resync"] is True
    assert dialog.command("POST", "/channels/new/answer")["status_code"] == 204
    assert d.pubsub().poll("hello", timeout=0.3) == []


def test_calls_that_wait_at_the_start_are_taken(daemon, ari_peer):
    asterisk_has(ari_peer, stasis_channel("waiting"))
    d = start(daemon, ari_peer)
    assert d.pubsub().wait_dialog("hello").wait_event("StasisStart")["channel"]["id"] == "waiting"


def test_real_start_after_the_made_up_one_is_not_told_twice(daemon, ari_peer):
    asterisk_has(ari_peer, stasis_channel("c1"))
    d = start(daemon, ari_peer)
    dialog = d.pubsub().wait_dialog("hello")
    dialog.wait_event("StasisStart")
    session = ari_peer.wait_session("hello")
    session.send(stasis_start("c1", "hello", ["a"]), stasis_end("c1", "hello"))
    dialog.wait_event("StasisEnd")
    assert [e["type"] for e in dialog.seen] == ["StasisStart", "StasisEnd"]


def test_frames_wait_behind_the_resync(daemon, ari_peer):
    """The end made up for the old call comes before what the new link brings, and nothing is told twice."""
    d = start(daemon, ari_peer)
    old = new_call(d, ari_peer, "old")
    asterisk_has(ari_peer, stasis_channel("new"))
    ari_peer.rest_delay = 1
    n = len(ari_peer.sessions)
    ari_peer.sessions[-1].drop()
    ari_peer.wait(lambda: len(ari_peer.sessions) > n)
    ari_peer.sessions[-1].send(stasis_start("new", "hello", ["real"]),
                               event("ChannelVarset", "hello", channel=channel("new")))
    time.sleep(0.3)
    assert not d.ready()
    ari_peer.rest_delay = 0
    d.wait_ready(15)
    assert old.wait_event("StasisEnd")["voxbus_resync"] is True
    dialog = d.pubsub().wait_dialog("hello")
    assert dialog.wait_event("StasisStart")["args"] == ["real"]
    dialog.wait_event("ChannelVarset")
    assert [e["type"] for e in dialog.seen] == ["StasisStart", "ChannelVarset"]


def test_bridge_that_went_in_the_gap(daemon, ari_peer):
    d = start(daemon, ari_peer)
    dialog = new_call(d, ari_peer, "c1")
    ari_peer.answer("POST", "/bridges", 200, {"id": "b1", "channels": []})
    assert dialog.command("POST", "/bridges", {"bridgeId": "b1"})["status_code"] == 200
    assert dialog.command("POST", "/bridges/b2")["status_code"] in (200, 204)
    asterisk_has(ari_peer, stasis_channel("c1"), bridges=["b2"])
    gap(d, ari_peer)
    assert dialog.wait_event("BridgeDestroyed")["bridge"]["id"] == "b1"


def test_resync_that_asterisk_refuses_is_said_and_skipped(daemon, ari_peer):
    ari_peer.answer("GET", "/channels", 500, {"message": "no"})
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello")], "applications": applications("hello")})
    d.expect_log("resync incomplete")
    d.wait_ready()
    d.wait_log("resync incomplete")


def test_restarted_daemon_learns_what_ended(daemon, ari_peer):
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello")],
                "applications": applications("hello", record="on")})
    d.expect_log("port lost", "port failed")
    d.wait_ready()
    dialog = new_call(d, ari_peer, "c1")
    goes_on = new_call(d, ari_peer, "c2")
    d.kill()
    asterisk_has(ari_peer, stasis_channel("c2"))
    d.start()
    d.wait_ready(15)
    dialog.pubsub = goes_on.pubsub = d.pubsub()
    assert dialog.wait_event("StasisEnd")["voxbus_resync"] is True
    ari_peer.wait_session("hello").send(stasis_end("c2", "hello"))
    assert "voxbus_resync" not in goes_on.wait_event("StasisEnd")


def media(kind, name, target):
    if kind == "playback":
        return {"id": name, "media_uri": "sound:x", "target_uri": target, "language": "en", "state": "playing"}
    return {"name": name, "format": "wav", "target_uri": target, "state": "recording"}


def test_playbacks_and_recordings_that_ended_in_the_gap_end(daemon, ari_peer):
    d = start(daemon, ari_peer)
    dialog = new_call(d, ari_peer, "c1")
    session = ari_peer.wait_session("hello")
    for kind, name in (("playback", "p-over"), ("playback", "p/runs"), ("recording", "r over"), ("recording", "r-runs")):
        session.send(event(f"{kind.capitalize()}Started", "hello", **{kind: media(kind, name, "channel:c1")}))
        dialog.wait_event(f"{kind.capitalize()}Started")
    asterisk_has(ari_peer, channel("c1", "Ring", app="hello,a"))
    ari_peer.answer("GET", "/playbacks/p%2Fruns", 200, media("playback", "p/runs", "channel:c1"))
    ari_peer.answer("GET", "/recordings/live/r-runs", 200, media("recording", "r-runs", "channel:c1"))
    gap(d, ari_peer)
    over = dialog.wait_event("PlaybackFinished")
    assert over["voxbus_resync"] is True
    assert over["playback"] == {**media("playback", "p-over", "channel:c1"), "state": "done"}
    over = dialog.wait_event("RecordingFinished")
    assert over["voxbus_resync"] is True
    assert over["recording"] == {**media("recording", "r over", "channel:c1"), "state": "done"}
    session = ari_peer.wait_session("hello")
    session.send(event("PlaybackFinished", "hello", playback=media("playback", "p/runs", "channel:c1")))
    assert "voxbus_resync" not in dialog.wait_event("PlaybackFinished")
    asterisk_has(ari_peer)
    ari_peer.forget("GET", "/recordings/live/r-runs")
    gap(d, ari_peer)
    dialog.wait_event("ChannelDestroyed")
    assert [e["type"] for e in dialog.seen[-3:]] == ["RecordingFinished", "StasisEnd", "ChannelDestroyed"]


def test_playback_that_a_command_made_and_nobody_heard_of_ends(daemon, ari_peer):
    """The answer came, the link was lost, kill -9: its end is found all the same."""
    d = start(daemon, ari_peer)
    dialog = new_call(d, ari_peer, "c1")
    assert dialog.command("POST", "/channels/c1/play/mine", {"media": "sound:x"})["status_code"] in (201, 204)
    asterisk_has(ari_peer, channel("c1", "Ring", app="hello,a"))
    d.kill()
    d.start()
    d.wait_ready(15)
    dialog.pubsub = d.pubsub()
    over = dialog.wait_event("PlaybackFinished")
    assert over["playback"]["id"] == "mine" and over["voxbus_resync"] is True


def test_more_than_256_playbacks_are_not_asked_for(daemon, ari_peer):
    d = start(daemon, ari_peer)
    new_call(d, ari_peer, "c1")
    ari_peer.wait_session("hello").send(*[event("PlaybackStarted", "hello", playback=media("playback", f"p{i}", "channel:c1"))
                                          for i in range(300)])
    asterisk_has(ari_peer, channel("c1", "Ring", app="hello,a"))
    ari_peer.wait_session("hello").send(event("ChannelVarset", "hello", channel=channel("c1", "Ring")))
    gap(d, ari_peer)
    assert len([r for r in ari_peer.requests if r.path.startswith("/playbacks/")]) == 256
