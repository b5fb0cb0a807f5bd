# SPDX-License-Identifier: MIT
"""The oldest Asterisk that is supported: 16 as we dial it, and what it can't do is said."""
from harness import applications


def start(daemon, asterisk, wait=True, **more):
    d = daemon({"engines": [asterisk.engine("test", **more)], "applications": applications("test")})
    if wait:
        d.wait_ready(20)
    return d


def test_call_from_start_to_end(daemon, asterisk_16):
    d = start(daemon, asterisk_16)
    asterisk_16.local("wait", "test", "a,b")
    dialog = d.pubsub().wait_dialog("test")
    event = dialog.wait_event("StasisStart")
    cid = event["channel"]["id"]
    assert event["args"] == ["a", "b"]
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
    assert dialog.command("POST", f"/channels/{cid}/play/p1", {"media": "sound:digits/1"})["status_code"] == 201
    assert dialog.wait_event("PlaybackFinished")["playback"]["id"] == "p1"
    assert dialog.command("DELETE", f"/channels/{cid}")["status_code"] == 204
    dialog.wait_event("StasisEnd")


def test_what_a_gap_hides_is_found(daemon, asterisk_16):
    d = start(daemon, asterisk_16)
    asterisk_16.local("wait", "test")
    dialog = d.pubsub().wait_dialog("test")
    cid = dialog.wait_event("StasisStart")["channel"]["id"]
    d.kill()
    assert asterisk_16.rest("DELETE", f"/channels/{cid}")[0] == 204
    d.start()
    d.wait_ready(20)
    dialog.pubsub = d.pubsub()
    assert dialog.wait_event("StasisEnd")["voxbus_resync"] is True


def test_rest_by_websocket_is_not_there_and_that_is_said(daemon, asterisk_16):
    d = start(daemon, asterisk_16, wait=False, rest="websocket", timeout="1s")
    d.expect_log("port failed")
    assert "set rest: http" in d.wait_log("port failed")["reason"]
