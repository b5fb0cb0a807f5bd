# SPDX-License-Identifier: MIT
"""`websocket: server`: a real Asterisk 22 dials us, and keeps for us what happens while we are away."""
import json
import time

import pytest

import kill_rounds
from harness import SERVER, applications, free_port, incoming, play_and_stop, wait_until


def start(daemon, asterisk, *names, **more):
    """voxbusd, and an Asterisk that dials it for those applications."""
    port = free_port()
    asterisk.dials(port, *names)
    d = daemon({"engines": [asterisk.engine(*names, **{**SERVER, **more})], "applications": applications(*names)},
               http_port=port)
    d.expect_log("port lost")
    d.wait_ready(20)
    return d


@pytest.mark.parametrize("rest", ["http", "websocket"])
def test_call_from_start_to_end(daemon, asterisk, rest):
    d = start(daemon, asterisk, "test", rest=rest)
    dialog, cid = incoming(d, asterisk)
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
    assert dialog.command("POST", f"/channels/{cid}/variable?variable=x%20y", {"value": "ä"})["status_code"] == 204
    got = dialog.command("GET", f"/channels/{cid}/variable?variable=x%20y")
    assert json.loads(got["response_body"]) == {"value": "ä"}
    play_and_stop(dialog, cid)
    assert dialog.command("GET", "/channels/nobody")["status_code"] == 404
    assert dialog.command("POST", f"/channels/{cid}/variable", {"variable": "x", "value": "y" * 70000}
                          )["status_code"] == 413
    assert dialog.command("DELETE", f"/channels/{cid}")["status_code"] == 204
    dialog.wait_event("StasisEnd")


def test_two_applications_on_one_socket(daemon, asterisk):
    d = start(daemon, asterisk, "test", "second")
    for name in ("test", "second"):
        dialog, cid = incoming(d, asterisk, name)
        assert dialog.command("DELETE", f"/channels/{cid}")["status_code"] == 204
        dialog.wait_event("StasisEnd")
    assert len(d.events("websocket open")) == 1


def test_playback_and_recording_that_end_while_frames_are_lost_are_found(daemon, asterisk):
    """In client mode, where Asterisk keeps nothing; asked of a real one."""
    d = daemon({"engines": [asterisk.engine("test")], "applications": applications("test")})
    d.expect_log("port lost")
    d.wait_ready(20)
    dialog, cid = incoming(d, asterisk)
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
    assert dialog.command("POST", f"/channels/{cid}/play/long", {"media": "sound:tt-monkeys"})["status_code"] == 201
    dialog.wait_event("PlaybackStarted")
    assert dialog.command("POST", "/bridges", {"bridgeId": "b-media", "type": "mixing"})["status_code"] == 200
    record = {"name": "lost-in-the-gap", "format": "wav", "ifExists": "overwrite"}
    assert dialog.command("POST", "/bridges/b-media/record", record)["status_code"] == 201
    other, second = incoming(d, asterisk)
    assert other.command("POST", f"/channels/{second}/answer")["status_code"] == 204
    assert other.command("POST", f"/channels/{second}/play/goes-on", {"media": "sound:tt-monkeys"})["status_code"] == 201
    d.kill()
    assert asterisk.rest("DELETE", "/playbacks/long")[0] == 204
    assert asterisk.rest("POST", "/recordings/live/lost-in-the-gap/stop")[0] == 204
    d.start()
    d.wait_ready(20)
    dialog.pubsub = d.pubsub()
    over = dialog.wait_event("PlaybackFinished")
    assert over["playback"]["id"] == "long" and over["voxbus_resync"] is True
    over = dialog.wait_event("RecordingFinished")
    assert over["recording"]["name"] == "lost-in-the-gap" and over["voxbus_resync"] is True
    other.pubsub = d.pubsub()
    assert other.command("DELETE", "/playbacks/goes-on")["status_code"] == 204
    over = other.wait_event("PlaybackFinished")
    assert over["playback"]["id"] == "goes-on" and "voxbus_resync" not in over
    dialog.command("DELETE", "/bridges/b-media")
    dialog.command("DELETE", f"/channels/{cid}")


def test_dropped_types_are_not_even_sent(daemon, asterisk):
    port = free_port()
    asterisk.dials(port, "second")
    d = daemon({"engines": [asterisk.engine("second", **SERVER)],
                "applications": [{"name": "second", "bus": "http", "events": {"drop": ["ChannelVarset"]}}]},
               http_port=port)
    d.wait_ready(20)
    try:
        assert asterisk.rest("GET", "/applications/second")[1]["events_disallowed"] == [{"type": "ChannelVarset"}]
        dialog, cid = incoming(d, asterisk, "second")
        assert dialog.command("POST", f"/channels/{cid}/variable", {"variable": "x", "value": "y"})["status_code"] == 204
        assert dialog.command("DELETE", f"/channels/{cid}")["status_code"] == 204
        dialog.wait_event("StasisEnd")
        assert d.metrics()["voxbus_hub_filtered_events_total"] == 0, "none came"
    finally:
        asterisk.rest("PUT", "/applications/second/eventFilter", {})


@pytest.mark.limit(150)
def test_what_happens_in_a_minute_without_us_comes_afterwards(daemon, asterisk, sipp):
    """Calls that come in while voxbusd is away wait in Asterisk; all of them arrive, whole and in order."""
    d = start(daemon, asterisk, "test")
    old, cid = incoming(d, asterisk)
    d.kill()
    calls = sipp("8000", count=10, rate=1, talk_ms=1000, limit=100)
    wait_until(lambda: len(asterisk.channels()) >= 12, 20, "the calls do not come")
    assert asterisk.rest("DELETE", f"/channels/{cid}")[0] == 204
    time.sleep(60)
    d.start()
    d.wait_ready(20)
    old.pubsub = d.pubsub()
    old.wait_event("StasisEnd")
    assert not [e for e in old.seen if e.get("resync")], "nothing is made up"
    dialogs = []
    while len(dialogs) < 10:
        dialog = d.pubsub().wait_dialog("test")
        if dialog.id != old.id:  # after a kill -9 its AppStart may come again
            dialogs.append(dialog)
    for dialog in dialogs:
        event = dialog.wait_event("StasisStart")
        assert "voxbus_resync" not in event
        assert dialog.command("POST", f"/channels/{event['channel']['id']}/answer")["status_code"] == 204
    assert calls.result() == (10, 0), calls.said
    for dialog in dialogs:
        dialog.wait_event("StasisEnd")
        assert dialog.seen[0]["type"] == "StasisStart" and [e["seq"] for e in dialog.seen] == list(
            range(1, len(dialog.seen) + 1))
        assert not [e for e in dialog.seen if e.get("resync")]


@pytest.mark.limit(150)
def test_every_frame_of_a_hundred_calls_is_accounted_for_while_voxbusd_is_killed(daemon, asterisk):
    ledger, answered = kill_rounds.run(daemon, asterisk, calls=100, rate=20, kills=3)
    print(ledger.figures())
    assert answered == (100, 0)
    assert len(ledger.sent) == len(ledger.came) + len(ledger.lost) + len(ledger.orphans)
    assert not ledger.holes, "read and journaled, but not delivered"
    assert not ledger.disorder and not ledger.strangers and not ledger.wrong and not ledger.gaps
    assert not ledger.unmarked, "a call lost frames and was not told so"
    assert all(c.ended for c in ledger.calls), "a call is open for ever"
    assert len(ledger.calls) + len(ledger.never_seen) >= 100
