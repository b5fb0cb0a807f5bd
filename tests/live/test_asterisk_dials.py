# SPDX-License-Identifier: MIT
"""`websocket: server`: a real Asterisk 22 dials us, and keeps for us what happens while we are away."""
import json
import time

import pytest

from harness import SERVER, applications, free_port, wait_until


def start(daemon, asterisk, *names, **more):
    """voxbusd, and an Asterisk that dials it for those applications."""
    port = free_port()
    asterisk.dials(port, *names)
    d = daemon({"engines": [asterisk.engine(*names, **{**SERVER, **more})], "applications": applications(*names)},
               http_port=port)
    d.expect_log("port lost")
    d.wait_ready(20)
    return d


def incoming(d, asterisk, application="test"):
    """A call into the application; its dialog and its channel's id."""
    asterisk.local("wait", application, "a,b")
    dialog = d.pubsub().wait_dialog(application)
    event = dialog.wait_event("StasisStart")
    assert event["args"] == ["a", "b"]
    return dialog, event["channel"]["id"]


@pytest.mark.parametrize("rest", ["http", "websocket"])
def test_call_from_start_to_end(daemon, asterisk, rest):
    d = start(daemon, asterisk, "test", rest=rest)
    dialog, cid = incoming(d, asterisk)
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
    assert dialog.command("POST", f"/channels/{cid}/variable?variable=x%20y", {"value": "ä"})["status_code"] == 204
    got = dialog.command("GET", f"/channels/{cid}/variable?variable=x%20y")
    assert json.loads(got["response_body"]) == {"value": "ä"}
    answer = dialog.command("POST", f"/channels/{cid}/play/my-playback", {"media": "sound:tt-monkeys"})
    assert answer["status_code"] == 201 and json.loads(answer["response_body"])["id"] == "my-playback"
    assert dialog.wait_event("PlaybackStarted")["playback"]["id"] == "my-playback"
    assert dialog.command("DELETE", "/playbacks/my-playback")["status_code"] in (204, 404)
    assert dialog.wait_event("PlaybackFinished")["playback"]["id"] == "my-playback"
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
