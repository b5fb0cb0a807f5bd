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


BODY = '{ "endpoint" : "Local/x@y", "app":"hello" }'


@pytest.mark.parametrize("url, parameter", [
    ("/channels", "channelId"), ("/channels?timeout=5", "channelId"), ("/channels/create", "channelId"),
    ("/channels/externalMedia", "channelId"), ("/channels/c1/snoop", "snoopId")])
def test_what_a_dialog_originates_comes_back_to_it(call, url, parameter):
    """Without an id: the StasisStart comes before Asterisk's answer, and opens no dialog of its own."""
    d, peer, dialog = call
    path = url.split("?")[0]
    peer.rest_delay = 0.4
    sent = dialog.send("POST", url, BODY)
    request = peer.wait_request("POST", path)
    made = request.query.pop(parameter)
    assert made.startswith("vb-") and len(made) == 27
    assert request.query == ({"timeout": "5"} if "?" in url else {}) and request.body.decode() == BODY
    peer.wait_session("hello").send(stasis_start(made, "hello"))
    assert dialog.wait_event("StasisStart")["channel"]["id"] == made
    assert dialog.response(sent)["status_code"] in (200, 201, 204)
    assert d.metrics()["voxbus_hub_dialogs_opened_total"] == 1


def test_what_a_dialog_originates_for_another_application_is_its_own(call):
    d, peer, dialog = call
    sent = dialog.send("POST", "/channels", {"endpoint": "Local/x@y", "app": "other"})
    made = peer.wait_request("POST", "/channels").query["channelId"]
    peer.wait_session("hello").send({**stasis_start(made, "hello"), "application": "other"})
    assert dialog.wait_event("StasisStart")["application"] == "other"
    assert dialog.response(sent)["status_code"] == 200


def test_originate_that_fails_lets_its_id_go(call):
    d, peer, dialog = call
    peer.answer("POST", "/channels", 500, {"message": "Allocation failed"})
    assert dialog.command("POST", "/channels", BODY)["status_code"] == 500
    made = peer.wait_request("POST", "/channels").query["channelId"]
    peer.wait_session("hello").send(stasis_start(made, "hello"))
    assert d.pubsub().wait_dialog("hello").id != dialog.id


def test_each_originate_has_an_id_of_its_own(call):
    _, peer, dialog = call
    for _ in range(3):
        assert dialog.command("POST", "/channels", BODY)["status_code"] == 200
    assert len({r.query["channelId"] for r in peer.requests if r.path == "/channels" and r.method == "POST"}) == 3


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
