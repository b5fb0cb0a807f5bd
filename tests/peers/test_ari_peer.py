# SPDX-License-Identifier: MIT
"""The scripted ARI peer against a plain websocket client: the harness itself is tested."""
import json
import struct
import urllib.error
import urllib.request

import pytest

from ari_peer import CLOSE, PING, PONG, TEXT, AriPeer, AuthError, WsClient, fixture_frames, stasis_start

TARGET = "/ari/events?app=hello"
FRAMES = 16  # in a22-answer-hangup


@pytest.fixture
def peer():
    with AriPeer() as p:
        yield p


def rest(peer, method, path, body=None, auth="Basic YXJpOnNlY3JldA=="):
    request = urllib.request.Request(peer.url + path, method=method, data=body,
                                     headers={"Authorization": auth} if auth else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.loads(answer.read() or "null")
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())


def test_recorded_frames_arrive_byte_for_byte(peer):
    client = WsClient(peer.port, TARGET)
    assert client.headers["sec-websocket-protocol"] == "ari"
    sent = peer.wait_session("hello").send_fixture("a22-answer-hangup")
    got = [client.recv() for _ in range(FRAMES)]
    assert got == [(TEXT, f) for f in sent]
    assert all(json.loads(f)["application"] == "hello" for f in sent)
    assert len(fixture_frames("a22-answer-hangup")) == FRAMES


def test_ping_is_answered_unless_told_otherwise(peer):
    client = WsClient(peer.port, TARGET)
    client.send(PING, b"one")
    assert client.recv() == (PONG, b"one")
    session = peer.wait_session("hello")
    session.ignore_pings()
    client.send(PING, b"two")
    client.send(TEXT, b"mark")
    peer.wait(lambda: session.received)
    session.send("after")
    assert client.recv() == (TEXT, b"after")
    assert session.pings == 2


@pytest.mark.parametrize("fault,status", [(401, 401), (404, 404), (500, 500), ("garbage", 0), ("close", 0)])
def test_handshake_is_refused_as_told(peer, fault, status):
    peer.handshake = fault
    with pytest.raises(AuthError) as e:
        WsClient(peer.port, TARGET)
    assert e.value.args[0] == status


def test_wrong_password_is_refused(peer):
    with pytest.raises(AuthError) as e:
        WsClient(peer.port, TARGET, password="wrong")
    assert e.value.args[0] == 401
    assert rest(peer, "GET", "/asterisk/info", auth=None)[0] == 401
    assert peer.unauthorized == 2


def test_close_code_cut_frame_and_reset(peer):
    client = WsClient(peer.port, TARGET)
    peer.wait_session("hello").close(1001)
    assert client.recv() == (CLOSE, struct.pack(">H", 1001))
    assert client.recv() == (None, b"")
    peer.wait_gone("hello")
    client = WsClient(peer.port, TARGET)
    peer.wait_session("hello").send_cut(stasis_start("c1", "hello"), 40)
    assert client.recv() == (None, b"")
    peer.wait_gone("hello")
    client = WsClient(peer.port, TARGET)
    peer.wait_session("hello").drop()
    with pytest.raises(ConnectionResetError):
        client.recv()


def test_second_socket_takes_the_application(peer):
    first = WsClient(peer.port, TARGET)
    peer.wait_session("hello")
    second = WsClient(peer.port, TARGET)
    assert json.loads(first.recv()[1])["type"] == "ApplicationReplaced"
    peer.wait(lambda: len(peer.sessions) == 2)
    peer.wait_session("hello").send("x")
    assert second.recv() == (TEXT, b"x")


def test_stalled_session_answers_after_resume(peer):
    client = WsClient(peer.port, TARGET)
    session = peer.wait_session("hello")
    session.stall()
    client.send(PING, b"p")
    session.send("still written by the test")
    assert client.recv()[0] == TEXT
    session.resume()
    assert client.recv() == (PONG, b"p")


def test_rest_is_programmable_and_recorded(peer):
    assert rest(peer, "GET", "/asterisk/info")[1]["system"]["version"].startswith("22.")
    assert rest(peer, "GET", "/applications/hello")[1]["name"] == "hello"
    peer.answer("GET", "/channels", 200, [{"id": "c1"}])
    peer.answer("GET", "/channels", 503, {"message": "once"}, times=1)
    assert rest(peer, "GET", "/channels") == (503, {"message": "once"})
    assert rest(peer, "GET", "/channels") == (200, [{"id": "c1"}])
    peer.answer("POST", "/channels/c1/answer", body=lambda r: (409, {"got": r.body.decode()}))
    assert rest(peer, "POST", "/channels/c1/answer?x=y", b"hi") == (409, {"got": "hi"})
    assert peer.wait_request("POST", "/channels/c1/answer").query == {"x": "y"}
    peer.rest_drop = True
    with pytest.raises(OSError):
        rest(peer, "GET", "/channels")


def test_down_and_up_on_the_same_port(peer):
    client = WsClient(peer.port, TARGET)
    port = peer.port
    peer.down()
    assert client.recv() == (None, b"")
    with pytest.raises(ConnectionRefusedError):
        WsClient(port, TARGET)
    peer.up()
    client = WsClient(port, TARGET)
    assert peer.wait_session("hello")


def test_flood_keeps_the_order_within_a_dialog(peer):
    client = WsClient(peer.port, TARGET)
    peer.wait_session("hello")
    peer.flood(events=1000, dialogs=10)
    seen = {}
    for _ in range(1000):
        e = json.loads(client.recv()[1])
        if e["type"] == "ChannelVarset":
            cid = e["channel"]["id"]
            assert int(e["value"]) == seen.get(cid, -1) + 1
            seen[cid] = int(e["value"])
    assert len(seen) == 10
