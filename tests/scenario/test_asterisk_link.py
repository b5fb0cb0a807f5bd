# SPDX-License-Identifier: MIT
"""The engine `asterisk` and its link: every fault that it can have, said once, and calls go on afterwards."""
import time

from ari_peer import AriPeer, channel, event, stasis_end, stasis_start
from harness import applications, ari_engine


def config(peer, **more):
    return {"engines": [ari_engine(peer.url, "hello", **more)], "applications": applications("hello")}


def start(daemon, peer, **more):
    d = daemon(config(peer, **more))
    d.wait_ready()
    return d


def call_works(d, peer, cid):
    """One whole call; returns its dialog."""
    session = peer.wait_session("hello")
    session.send(stasis_start(cid, "hello", ["a"]))
    dialog = d.pubsub().wait_dialog("hello")
    assert dialog.wait_event("StasisStart")["channel"]["id"] == cid
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
    session.send(stasis_end(cid, "hello"))
    dialog.wait_event("StasisEnd")
    return dialog


def reasons(d, event_name):
    return [e.get("reason", "") for e in d.events(event_name)]


def test_a_call_works_and_the_password_is_in_no_url(daemon, ari_peer):
    d = start(daemon, ari_peer)
    call_works(d, ari_peer, "c1")
    session = ari_peer.sessions[0]
    assert session.query == {"app": "hello"}
    assert all("api_key" not in r.query for r in ari_peer.requests)
    assert "secret" not in d.output


def test_frames_pass_byte_for_byte(daemon, ari_peer):
    d = start(daemon, ari_peer)
    session = ari_peer.wait_session("hello")
    frames = session.send_fixture("a22-bridge")
    starts = [f for f in frames if b'"StasisStart"' in f]
    assert starts
    seen = b""
    for _ in starts:
        dialog = d.pubsub().wait_dialog("hello")
        dialog.wait_event("StasisEnd")
        seen += b"\n".join(e["ari_body"].encode() for e in dialog.seen)
    assert all(f in seen for f in starts)


def test_asterisk_absent_then_there(daemon, ari_peer):
    ari_peer.down()
    d = daemon(config(ari_peer))
    d.expect_log("port lost", "port failed")
    d.wait_log("port lost", state="down")
    assert not d.ready()
    time.sleep(1.5)
    assert len(d.events("port lost")) == 1, "said once"
    assert "not reachable" in reasons(d, "port lost")[0]
    ari_peer.up()
    d.wait_ready(15)
    call_works(d, ari_peer, "c1")


def test_asterisk_gone_and_back(daemon, ari_peer):
    d = start(daemon, ari_peer)
    d.expect_log("port lost", "port failed")
    call_works(d, ari_peer, "c1")
    ari_peer.down()
    d.wait_log("port lost")
    assert not d.ready()
    ari_peer.up()
    d.wait_ready(15)
    call_works(d, ari_peer, "c2")


def test_wrong_password_is_said_once_without_it(daemon, ari_peer):
    d = daemon(config(ari_peer, password="wr0ng-pass"))
    d.expect_log("port lost", "port failed")
    line = d.wait_log("port failed")
    assert "wrong user name or password" in line["reason"] and '"ari"' in line["reason"]
    time.sleep(1)
    assert len(d.events("port failed")) == 1
    assert ari_peer.unauthorized == 1, "tried slowly"
    assert "wr0ng-pass" not in d.output
    assert not d.ready()


def test_answers_that_are_no_websocket(daemon, ari_peer):
    d = None
    for fault, word in ((404, "404"), (403, "not allowed"), (500, "500"), ("garbage", "neither HTTP"),
                        ("close", "not reachable"), (200, "status 200")):
        ari_peer.handshake = fault
        d = daemon(config(ari_peer))
        d.expect_log("port lost", "port failed")
        line = d.wait_log("port lost" if fault in (500, "close") else "port failed")
        assert word in line["reason"], (fault, line)
        d.stop()
    ari_peer.handshake = None


def test_an_asterisk_that_starts_is_soon_found(daemon, ari_peer):
    ari_peer.handshake = 404
    d = daemon(config(ari_peer))
    d.expect_log("port lost", "port failed")
    d.wait_log("port failed")
    ari_peer.handshake = None
    d.wait_ready(15)
    call_works(d, ari_peer, "c1")


def test_handshake_that_hangs_is_given_up(daemon, ari_peer):
    ari_peer.handshake = "hang"
    d = daemon(config(ari_peer, dead="1500ms", stale="1s", ping="500ms"))
    d.expect_log("port lost", "port failed")
    line = d.wait_log("port lost")
    assert "no answer in time" in line["reason"]
    ari_peer.handshake = None
    d.wait_ready(15)


def test_silence_makes_it_stale_within_3_s_then_the_link_is_made_anew(daemon, ari_peer):
    d = start(daemon, ari_peer, dead="4s")
    d.expect_log("port lost", "port failed")
    session = ari_peer.wait_session("hello")
    began = time.monotonic()
    session.stall()
    session.ignore_pings()
    while d.ready():
        assert time.monotonic() - began < 3.2
        time.sleep(0.02)
    d.wait_log("port lost", state="stale")
    d.wait_log("port lost", state="down", timeout=10)
    d.wait_ready(15)
    assert len(ari_peer.sessions) == 2
    call_works(d, ari_peer, "c1")


def test_stale_link_recovers_when_heard_again(daemon, ari_peer):
    d = start(daemon, ari_peer)
    d.expect_log("port lost", "port failed")
    session = ari_peer.wait_session("hello")
    session.ignore_pings()
    d.wait_log("port lost", state="stale")
    session.ignore_pings(False)
    d.wait_ready(5)
    assert len(ari_peer.sessions) == 1


def test_link_cut_in_every_way(daemon, ari_peer):
    d = start(daemon, ari_peer)
    d.expect_log("port lost", "port failed")
    cuts = [lambda s: s.close(1001), lambda s: s.drop(), lambda s: s.send_cut(stasis_start("x", "hello"), 40),
            lambda s: s.send_raw(b"\xff\xff\xff\xff")]
    for n, cut in enumerate(cuts):
        session = ari_peer.wait_session("hello")
        cut(session)
        session.wait_end()
        ari_peer.wait(lambda: len(ari_peer.sessions) == n + 2, what="not dialled again")
        d.wait_ready(15)
        call_works(d, ari_peer, f"c{n}")


def test_bad_events_are_counted_and_said_once(daemon, ari_peer):
    d = start(daemon, ari_peer)
    d.expect_log("bad event")
    session = ari_peer.wait_session("hello")
    for bad in ("", "hello", "[]", '{"type":5}', '{"type":"A"', '{"a":"\x01"}', "{" * 100):
        session.send(bad)
    session.send({"type": "NotKnownYet", "thing": {"id": "t"}, "application": "hello"})
    call_works(d, ari_peer, "c1")
    assert len(d.events("bad event")) == 1


def test_replaced_stands_down_and_does_not_fight(daemon, ari_peer):
    d = start(daemon, ari_peer)
    d.expect_log("port failed")
    ari_peer.replace("hello")
    line = d.wait_log("port failed")
    assert "taken over" in line["reason"] and "hello" in line["reason"]
    ari_peer.sessions[0].wait_end()
    time.sleep(2)
    assert len(ari_peer.sessions) == 1
    assert not d.ready()


def test_two_applications_one_taken_over(daemon, ari_peer):
    d = daemon({"engines": [ari_engine(ari_peer.url, "one", "two")],
                "applications": applications("one", "two")})
    d.expect_log("port failed")
    d.wait_ready()
    ari_peer.replace("two")
    line = d.wait_log("port failed")
    assert 'application "two"' in line["reason"]
    assert ari_peer.wait_session("one")
    ari_peer.wait_session("one").send(event("ChannelVarset", "one", channel=channel("c")))


def test_two_asterisks(daemon, ari_peer):
    with AriPeer() as other:
        d = daemon({"engines": [ari_engine(ari_peer.url, "hello"),
                                ari_engine(other.url, "hello", name="pbx2")],
                    "applications": applications("hello")})
        d.wait_ready()
        call_works(d, ari_peer, "same-id")
        call_works(d, other, "same-id")
        assert other.wait_request("POST", "/channels/same-id/answer")
        d.stop()
