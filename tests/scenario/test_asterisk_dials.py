# SPDX-License-Identifier: MIT
"""`websocket: server`: a scripted Asterisk dials, with right and wrong words, twice, and again after a gap."""
import base64
import json
import time

import pytest

from ari_peer import AriPeer, AuthError, PING, TEXT, WsClient, channel, event, stasis_end, stasis_start, to_bytes
from harness import SERVER, applications, ari_engine


def config(peer, *names, **more):
    names = names or ("hello",)
    return {"engines": [ari_engine(peer.url, *names, **{**SERVER, **more})], "applications": applications(*names)}


def start(daemon, peer, *names, **more):
    """The daemon, and the peer that has dialled it for all applications."""
    d = daemon(config(peer, *names, **more))
    dialler = peer.dial(d.http_port, *(names or ("hello",)))
    d.wait_ready()
    return d, dialler


def call_works(d, dialler, cid, app="hello"):
    dialler.send(stasis_start(cid, app, ["a"]))
    dialog = d.pubsub().wait_dialog(app)
    assert dialog.wait_event("StasisStart")["channel"]["id"] == cid
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
    dialler.send(stasis_end(cid, app))
    dialog.wait_event("StasisEnd")
    return dialog


def types(dialog):
    """What came, each number once: kill -9 may bring the last again."""
    return [e["type"] for e in {e["seq"]: e for e in dialog.seen}.values()]


def reason(d):
    return d.cli("status").stdout


def test_it_waits_until_asterisk_dials(daemon, ari_peer):
    d = daemon(config(ari_peer))
    assert not d.ready()
    assert "waiting for Asterisk to dial /ari/pbx1" in reason(d)
    assert "asterisk-dials" in [line.split()[1] for line in d.cli("doctor").stdout.splitlines()
                                if not line.startswith("ok") and len(line.split()) > 1]
    dialler = ari_peer.dial(d.http_port, "hello")
    d.wait_ready()
    call_works(d, dialler, "c1")
    assert "ApplicationRegistered" not in d.output
    assert "s3cret" not in d.output


def test_wrong_words_are_refused_and_said(daemon, ari_peer):
    d = daemon(config(ari_peer))
    d.expect_log("port failed")
    for target, username, password, status in (("/ari/pbx1", "pbx1", "wrong", 401), ("/ari/pbx1", "x", "s3cret", 401),
                                               ("/ari/pbx2", "pbx1", "s3cret", 404), ("/ari", "pbx1", "s3cret", 404),
                                               ("/ari/pbx1/x", "pbx1", "s3cret", 404)):
        with pytest.raises(AuthError) as refusal:
            WsClient(d.http_port, target, username, password)
        assert refusal.value.args[0] == status, target
    assert "wrong user name or password" in d.wait_log("port failed")["reason"]
    answer = d.http("GET", "/ari/pbx1")
    assert answer.status == 401 and answer.headers["www-authenticate"].startswith("Basic")
    basic = {"Authorization": "Basic " + base64.b64encode(b"pbx1:s3cret").decode()}
    assert d.http("GET", "/ari/pbx1", headers=basic).status == 400
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "12",
               "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg=="}
    assert d.http("GET", "/ari/pbx1", headers={**basic, **upgrade}).status == 426
    dialler = ari_peer.dial(d.http_port, "hello")
    d.wait_ready()
    call_works(d, dialler, "c1")


def test_an_address_that_guesses_waits(daemon, ari_peer):
    d = daemon(config(ari_peer))
    d.expect_log("port failed")
    dialler = ari_peer.dial(d.http_port, "hello", password="wrong", interval=0.01)
    ari_peer.wait(lambda: 429 in dialler.refusals, 10, "no limit")
    assert dialler.refusals.count(401) == 20
    with pytest.raises(AuthError) as refusal:
        WsClient(d.http_port, "/ari/pbx1", "pbx1", "s3cret")
    assert refusal.value.args[0] == 429


def test_what_asterisk_kept_comes_in_order_and_nothing_is_made_up(daemon, ari_peer):
    """Ended, going on, and new: the end of each comes once, though Asterisk lists none of them any more."""
    d, dialler = start(daemon, ari_peer)
    d.expect_log("port lost")
    dialler.send(*[stasis_start(c, "hello") for c in ("ends", "stays")])
    dialogs = {}
    for _ in range(2):
        dialog = d.pubsub().wait_dialog("hello")
        dialogs[dialog.wait_event("StasisStart")["channel"]["id"]] = dialog
    ari_peer.answer("GET", "/channels", 200, [channel("stays", app="hello"), channel("new", app="hello")])
    ari_peer.answer("GET", "/applications/hello", 200, {"channel_ids": ["stays", "new"]})
    d.kill()
    ari_peer.wait(lambda: not dialler.session, 10, "the socket is still open")
    dialler.send(event("ChannelHangupRequest", "hello", channel=channel("ends")), stasis_end("ends", "hello"),
                 event("ChannelDestroyed", "hello", cause=16, cause_txt="Normal", channel=channel("ends")),
                 stasis_start("new", "hello", ["x"]), event("ChannelDtmfReceived", "hello", digit="1",
                                                            duration_ms=1, channel=channel("new")))
    d.start()
    d.wait_ready()
    for dialog in dialogs.values():
        dialog.pubsub = d.pubsub()
    dialogs["ends"].wait_event("ChannelDestroyed")
    assert types(dialogs["ends"]) == ["StasisStart", "ChannelHangupRequest", "StasisEnd", "ChannelDestroyed"]
    new = d.pubsub().wait_dialog("hello")
    while new.id in [old.id for old in dialogs.values()]:  # what kill -9 brings again
        new = d.pubsub().wait_dialog("hello")
    new.wait_event("ChannelDtmfReceived")
    assert [(e["type"], e.get("resync", False)) for e in new.seen[:2]] == [("StasisStart", False),
                                                                         ("ChannelDtmfReceived", False)]
    assert not [e for e in dialogs["ends"].seen + new.seen if e.get("resync") and e["type"] != "ChannelStateChange"]
    dialler.send(stasis_end("stays", "hello"))
    dialogs["stays"].wait_event("StasisEnd")
    assert types(dialogs["stays"]) == ["StasisStart", "ChannelStateChange", "StasisEnd"], "how it stands, and its end"


def test_two_applications_come_by_one_socket_or_by_two(daemon, ari_peer):
    d = daemon(config(ari_peer, "hello", "second"))
    hello = ari_peer.dial(d.http_port, "hello")
    d.wait_log("application registered", application="hello")
    assert not d.ready()
    assert "has not registered" in reason(d)
    second = ari_peer.dial(d.http_port, "second")
    d.wait_ready()
    call_works(d, hello, "c1")
    call_works(d, second, "c2", "second")
    hello.hang_up()
    d.expect_log("port lost")
    d.wait_log("port lost")
    hello.dial_on()
    d.wait_ready()
    call_works(d, hello, "c4")


def test_an_application_that_is_not_listed_is_said_once(daemon, ari_peer):
    d = daemon(config(ari_peer))
    d.expect_log("application not listed")
    dialler = ari_peer.dial(d.http_port, "hello", "other")
    d.wait_ready()
    dialler.send(stasis_start("c1", "other"), stasis_start("c2", "other"))
    call_works(d, dialler, "c3")
    assert len(d.events("application not listed")) == 1
    assert [v for k, v in d.metrics().items() if "_foreign_total" in k] == [3]


def test_a_new_socket_of_the_same_asterisk_takes_over(daemon, ari_peer):
    d, first = start(daemon, ari_peer)
    old = first.wait_session()
    first.resting = True
    new = ari_peer.dial(d.http_port, "hello")
    d.wait_log("application registered", count=2)
    old.wait_end()
    call_works(d, new, "c1")


def test_a_stale_socket_is_replaced(daemon, ari_peer):
    d, first = start(daemon, ari_peer, ping="100ms", stale="300ms", dead="30s")
    d.expect_log("port lost")
    first.wait_session().stall()
    d.wait_log("port lost", state="stale")
    first.resting = True
    new = ari_peer.dial(d.http_port, "hello")
    d.wait_ready()
    call_works(d, new, "c1")


def test_a_second_asterisk_is_not_let_in(daemon, ari_peer):
    d, first = start(daemon, ari_peer)
    d.expect_log("second asterisk")
    other = WsClient(d.http_port, "/ari/pbx1", "pbx1", "s3cret")
    other.send(TEXT, to_bytes({**event("ApplicationRegistered", "hello"), "asterisk_id": "02:00:00:00:00:99"}))
    frames = []
    while (frame := other.recv())[0] not in (8, None):
        frames.append(frame)
    assert frame[0] == 8 and int.from_bytes(frame[1][:2], "big") == 1008
    assert d.wait_log("second asterisk")["asterisk_id"] == "02:00:00:00:00:99"
    call_works(d, first, "c1")


def test_rest_that_is_not_there_is_said_and_events_come_all_the_same(daemon, ari_peer):
    with AriPeer() as elsewhere:
        url = elsewhere.url
    d = daemon({**config(ari_peer), "engines": [ari_engine(url, "hello", **SERVER)]})
    d.expect_log("port lost")
    dialler = ari_peer.dial(d.http_port, "hello")
    text = d.wait_log("port lost")["reason"]
    assert "events come" in text and "not reachable at" in text and "rest: websocket" in text
    dialler.send(stasis_start("c1", "hello"))
    dialog = d.pubsub().wait_dialog("hello")
    assert dialog.command("POST", "/channels/c1/answer")["status_code"] == 503
    dialler.send(stasis_end("c1", "hello"))
    dialog.wait_event("StasisEnd")


def test_wrong_rest_password_is_said(daemon, ari_peer):
    d = daemon(config(ari_peer))
    d.stop()
    d = daemon({**config(ari_peer), "engines": [ari_engine(ari_peer.url, "hello", password="wrong", **SERVER)]})
    d.expect_log("port failed")
    ari_peer.dial(d.http_port, "hello")
    assert "REST is refused" in d.wait_log("port failed")["reason"]


def test_garbage_by_the_socket_is_counted(daemon, ari_peer):
    d, dialler = start(daemon, ari_peer)
    d.expect_log("bad event")
    dialler.send("not json", "[]", "{}", '{"type":7}', '{"type":"RESTResponse"}',
                 '{"type":"RESTResponse","request_id":"77","status_code":200}')
    dialler.wait_session().ping(b"x")
    call_works(d, dialler, "c1")
    assert len(d.events("bad event")) == 1


def test_asterisk_that_stops_unregisters(daemon, ari_peer):
    d, dialler = start(daemon, ari_peer)
    d.expect_log("port lost")
    dialler.send(event("ApplicationUnregistered", "hello"))
    assert "unregistered" in d.wait_log("port lost")["reason"]
    dialler.wait_session().drop()
    d.wait_ready()
    call_works(d, dialler, "c1")


# ---------------------------------------------------------------- REST by the websocket

def test_commands_go_by_the_websocket(daemon, ari_peer):
    d, dialler = start(daemon, ari_peer, rest="websocket")
    dialog = call_works(d, dialler, "c1")
    assert ari_peer.handshakes == 0
    asks = ari_peer.websocket_requests
    assert [a["uri"] for a in asks] == ["applications/hello", "channels", "bridges", "channels/c1/answer"]
    assert all(a["type"] == "RESTRequest" and a["request_id"] for a in asks)
    assert len({a["request_id"] for a in asks}) == len(asks)
    assert dialog.command("GET", "/nothing")["status_code"] == 404
    answer = dialog.command("POST", "/bridges", {"name": "ä\"\n"})
    assert answer["status_code"] == 200 and '"bridge_type"' in answer["response_body"]
    assert asks[-1]["content_type"] == "application/json"


def test_answers_in_any_order_find_their_commands(daemon, ari_peer):
    d, dialler = start(daemon, ari_peer, rest="websocket")
    dialler.send(*[stasis_start(f"c{i}", "hello") for i in range(12)])
    dialogs = [d.pubsub().wait_dialog("hello") for _ in range(12)]
    ari_peer.rest_by_websocket = False
    for dialog in dialogs:
        dialog.wait_event("StasisStart")
        dialog.send("POST", f"/channels/x-{dialog.id}/answer", unique_id=dialog.id)
    session = dialler.wait_session()

    def asked():
        return [a for a in (json.loads(p) for _, p in session.received) if "/answer" in a["uri"]]
    ari_peer.wait(lambda: len(asked()) == 8, 10, "not eight ahead")
    time.sleep(0.2)
    assert len(asked()) == 8, "no more than eight are sent ahead"
    done = set()
    while len(done) < 12:
        ari_peer.wait(lambda: [a for a in asked() if a["request_id"] not in done], 10, "no more")
        for ask in reversed([a for a in asked() if a["request_id"] not in done]):
            done.add(ask["request_id"])
            session.send({"type": "RESTResponse", "request_id": ask["request_id"], "transaction_id": "voxbus",
                          "status_code": 200, "reason_phrase": "OK", "uri": ask["uri"],
                          "content_type": "application/json", "message_body": '{"uri":"%s"}' % ask["uri"]})
    for dialog in dialogs:
        assert f"x-{dialog.id}" in dialog.response(dialog.id)["response_body"]


def test_websocket_commands_end_all_the_same(daemon, ari_peer):
    """Too long, no answer in time, link lost before and after sending: one answer each."""
    d, dialler = start(daemon, ari_peer, rest="websocket", timeout="500ms")
    d.expect_log("port lost")
    dialler.send(*[stasis_start(f"c{i}", "hello") for i in range(10)])
    dialogs = [d.pubsub().wait_dialog("hello") for _ in range(10)]
    one = dialogs[0]
    assert one.command("POST", "/x", {"a": "y" * 65000})["status_code"] in (204, 200)
    assert one.command("POST", "/x", {"a": "y" * 65536})["status_code"] == 413
    ari_peer.rest_by_websocket = False
    assert one.command("POST", "/x")["status_code"] == 504
    sent = [(dialog, dialog.send("POST", "/y")) for dialog in dialogs]
    ari_peer.wait(lambda: len([1 for _, p in dialler.session.received if b'"uri":"y"' in p]) == 8, 10, "not sent")
    dialler.hang_up()
    statuses = sorted(dialog.response(i)["status_code"] for dialog, i in sent)
    assert statuses == [502] * 8 + [503] * 2, statuses
    assert one.command("POST", "/z")["status_code"] == 503
    ari_peer.rest_by_websocket = True
    dialler.dial_on()
    d.wait_ready()
    assert not [1 for s in ari_peer.sessions[1:] for _, p in s.received if b'"uri":"y"' in p], "nothing is repeated"


def test_client_mode_by_websocket_and_an_asterisk_that_is_too_old(daemon, ari_peer):
    engine = ari_engine(ari_peer.url, "hello", rest="websocket", timeout="500ms")
    d = daemon({"engines": [engine], "applications": applications("hello")})
    d.wait_ready()
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    assert d.pubsub().wait_dialog("hello").command("POST", "/channels/c1/answer")["status_code"] == 204
    assert not [r for r in ari_peer.requests if r.headers]
    d.stop()
    ari_peer.rest_by_websocket = False
    d.expect_log("port failed")
    d.start()
    assert "set rest: http" in d.wait_log("port failed")["reason"]


def test_application_taken_over_is_said(daemon, ari_peer):
    d, dialler = start(daemon, ari_peer)
    d.expect_log("port failed")
    dialler.send(event("ApplicationReplaced", "hello"))
    assert "taken over by another ARI client" in d.wait_log("port failed")["reason"]
    dialler.send(event("ApplicationRegistered", "hello"))
    d.wait_ready()
    call_works(d, dialler, "c1")
