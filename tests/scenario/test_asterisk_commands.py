# SPDX-License-Identifier: MIT
"""Commands of an application become REST requests, and every one gets its answer."""
import json
import time

import pytest

from ari_peer import channel, event, stasis_end, stasis_start
from harness import applications, ari_engine


@pytest.fixture
def call(daemon, ari_peer):
    """(daemon, peer, dialog) with a call c1 in it."""
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello", timeout="1s")],
                "applications": applications("hello")})
    d.wait_ready()
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    dialog = d.pubsub().wait_dialog("hello")
    dialog.wait_event("StasisStart")
    yield d, ari_peer, dialog
    ari_peer.rest_delay = 0
    ari_peer.rest_drop = False


def test_request_is_what_was_asked_for(call):
    _, peer, dialog = call
    dialog.command("POST", "/channels/c1/play?lang=en", {"media": "sound:hello"})
    request = peer.wait_request("POST", "/channels/c1/play")
    assert request.query == {"lang": "en"}
    assert json.loads(request.body) == {"media": "sound:hello"}
    assert request.headers["content-type"] == "application/json"


def test_answer_is_what_asterisk_said(call):
    _, peer, dialog = call
    peer.answer("GET", "/channels/c1", 200, channel("c1"))
    answer = dialog.command("GET", "/channels/c1")
    assert answer["status_code"] == 200 and json.loads(answer["response_body"])["id"] == "c1"
    for status in (403, 404, 409, 422, 500):
        peer.answer("POST", "/channels/c1/hold", status, {"message": "no"})
        answer = dialog.command("POST", "/channels/c1/hold")
        assert answer["status_code"] == status and json.loads(answer["response_body"]) == {"message": "no"}


@pytest.mark.parametrize("url", ["/../x", "/a/%2e%2e/b", "/a\r\nX: y"])
def test_url_that_is_none_is_refused(call, url):
    _, peer, dialog = call
    before = len(peer.requests)
    assert dialog.command("GET", url)["status_code"] == 400
    assert len(peer.requests) == before


def test_no_answer_in_time(call):
    _, peer, dialog = call
    peer.rest_delay = 3
    began = time.monotonic()
    answer = dialog.command("POST", "/channels/c1/answer")
    assert answer["status_code"] == 504 and time.monotonic() - began < 2.5


def test_connection_that_breaks(call):
    _, peer, dialog = call
    peer.rest_drop = True
    assert dialog.command("POST", "/channels/c1/answer")["status_code"] == 502


def test_chosen_ids_belong_to_the_dialog_before_the_answer(call):
    _, peer, dialog = call
    peer.answer("POST", "/channels/chosen", 200, channel("chosen", "Down"))
    peer.rest_delay = 0.4
    sent = dialog.send("POST", "/channels/chosen", {"endpoint": "Local/x@y", "app": "hello"})
    peer.wait_request("POST", "/channels/chosen")
    peer.wait_session("hello").send(stasis_start("chosen", "hello"))
    assert dialog.wait_event("StasisStart")["channel"]["id"] == "chosen"
    assert dialog.response(sent)["status_code"] == 200


def test_made_objects_belong_to_the_dialog(call):
    _, peer, dialog = call
    session = peer.wait_session("hello")
    made = json.loads(dialog.command("POST", "/channels/c1/play", {"media": "sound:x"})["response_body"])["id"]
    session.send(event("PlaybackFinished", "hello", playback={"id": made, "state": "done"}))
    assert dialog.wait_event("PlaybackFinished")["playback"]["id"] == made
    made = json.loads(dialog.command("POST", "/bridges")["response_body"])["id"]
    session.send(event("BridgeDestroyed", "hello", bridge={"id": made, "channels": []}))
    assert dialog.wait_event("BridgeDestroyed")["bridge"]["id"] == made


def test_reading_a_foreign_channel_does_not_make_it_ours(call):
    d, peer, dialog = call
    peer.answer("GET", "/channels/other", 200, channel("other"))
    dialog.command("GET", "/channels/other")
    session = peer.wait_session("hello")
    session.send(stasis_start("other", "hello"))
    assert d.pubsub().wait_dialog("hello").id != dialog.id


def test_failed_command_lets_its_ids_go(call):
    d, peer, dialog = call
    peer.answer("POST", "/channels/taken", 409, {"message": "exists"})
    assert dialog.command("POST", "/channels/taken", {"endpoint": "x"})["status_code"] == 409
    peer.wait_session("hello").send(stasis_start("taken", "hello"), stasis_end("taken", "hello"))
    assert d.pubsub().wait_dialog("hello").id != dialog.id
