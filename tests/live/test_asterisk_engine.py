# SPDX-License-Identifier: MIT
"""The engine `asterisk` with a real Asterisk 22: calls, ids of one's own, and what a gap hides."""
import json
import os
import signal
import time

from harness import applications, incoming, play_and_stop, wait_until


def start(daemon, asterisk, **more):
    d = daemon({"engines": [{**asterisk.engine("test"), **more}], "applications": applications("test")})
    d.expect_log("port lost", "port failed", "resync incomplete")
    d.wait_ready(20)
    return d


def test_call_from_start_to_end(daemon, asterisk):
    d = start(daemon, asterisk)
    dialog, cid = incoming(d, asterisk)
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
    assert dialog.command("POST", f"/channels/{cid}/variable?variable=x%20y", {"value": "ä"})["status_code"] == 204
    play_and_stop(dialog, cid)
    assert dialog.command("GET", "/channels/nobody")["status_code"] == 404
    assert dialog.command("DELETE", f"/channels/{cid}")["status_code"] == 204
    dialog.wait_event("StasisEnd")


def test_second_leg_with_an_id_of_our_own_is_in_the_dialog(daemon, asterisk):
    d = start(daemon, asterisk)
    dialog, cid = incoming(d, asterisk)
    answer = dialog.command("POST", "/channels/leg-2", {"endpoint": "Local/wait@far/n", "app": "test"})
    assert answer["status_code"] == 200, answer
    assert dialog.wait_event("StasisStart")["channel"]["id"] == "leg-2"
    assert dialog.command("POST", "/bridges", {"bridgeId": "b-1", "type": "mixing"})["status_code"] == 200
    for leg in (cid, "leg-2"):
        assert dialog.command("POST", "/bridges/b-1/addChannel", {"channel": leg})["status_code"] == 204
    dialog.wait_event("ChannelEnteredBridge")
    assert dialog.command("POST", "/channels/leg-2", {"endpoint": "Local/wait@far/n", "app": "test"}
                          )["status_code"] in (409, 500)
    assert dialog.command("DELETE", "/bridges/b-1")["status_code"] == 204
    for leg in (cid, "leg-2"):
        dialog.command("DELETE", f"/channels/{leg}")
    dialog.wait_event("ChannelDestroyed")
    assert d.pubsub().poll("test", timeout=0.3) == []


def test_legs_without_an_id_come_back_to_who_originated_them(daemon, asterisk):
    """StasisStart of a Local channel mostly comes before the answer of its originate."""
    d = start(daemon, asterisk)
    dialog, cid = incoming(d, asterisk)
    for n in range(5):
        answer = dialog.command("POST", "/channels", {"endpoint": "Local/wait@far/n", "app": "test", "appArgs": str(n)})
        assert answer["status_code"] == 200, answer
        leg = dialog.wait_event("StasisStart")
        assert leg["channel"]["id"] == json.loads(answer["response_body"])["id"] and leg["args"] == [str(n)]
        assert dialog.command("DELETE", f"/channels/{leg['channel']['id']}")["status_code"] == 204
    for url, body in (("/channels/create", {"endpoint": "Local/wait@far/n", "app": "test"}),
                      (f"/channels/{cid}/snoop", {"spy": "in", "app": "test"}),
                      ("/channels/externalMedia", {"app": "test", "external_host": "127.0.0.1:9", "format": "ulaw"})):
        answer = dialog.command("POST", url, body)
        assert answer["status_code"] == 200, answer
        assert json.loads(answer["response_body"])["id"].startswith("vb-"), answer
    answer = dialog.command("POST", "/bridges", {"type": "mixing"})
    assert answer["status_code"] == 200 and json.loads(answer["response_body"])["id"].startswith("vb-"), answer
    dialog.command("DELETE", f"/channels/{cid}")
    assert d.pubsub().poll("test", timeout=0.3) == []


def test_call_that_nobody_accepts_goes_on_in_the_dialplan(daemon, asterisk):
    d = daemon({"engines": [asterisk.engine("test")],
                "applications": applications("test", accept={"within": "1s", "tries": 2}, application_events=True)})
    d.wait_ready(20)
    asterisk.local("wait", "test", "a,b")
    late, again = d.pubsub().wait_dialog("test"), d.pubsub().wait_dialog("test")
    assert again.id != late.id
    wait_until(lambda: d.metrics()["voxbus_hub_calls_released_unaccepted_total"] == 1)
    seen = {}
    while "StasisEnd" not in seen:  # of nobody any more
        for e in d.pubsub().poll("events_test", max=100):
            body = json.loads(e["ari_body"])
            seen[body.get("variable", e["type"])] = body
    assert seen["VOXBUS_STATUS"]["value"] == "UNACCEPTED" and seen["VOXBUS_STATUS"]["channel"]["id"] == seen["StasisEnd"]["channel"]["id"]
    assert late.events(timeout=0) == again.events(timeout=0) == []


def test_what_a_gap_hides_is_found(daemon, asterisk):
    """The daemon sleeps until Asterisk has given its socket up; meanwhile one call ends and one goes on."""
    d = start(daemon, asterisk)
    ended, gone = incoming(d, asterisk)
    goes_on, stays = incoming(d, asterisk)
    d.kill()
    assert asterisk.rest("DELETE", f"/channels/{gone}")[0] == 204
    d.start()
    d.wait_ready(20)
    for dialog in (ended, goes_on):
        dialog.pubsub = d.pubsub()
    event = ended.wait_event("StasisEnd")
    assert event["voxbus_resync"] is True and event["channel"]["id"] == gone
    assert goes_on.command("POST", f"/channels/{stays}/answer")["status_code"] == 204
    assert goes_on.command("DELETE", f"/channels/{stays}")["status_code"] == 204
    assert "voxbus_resync" not in goes_on.wait_event("StasisEnd")


def test_call_that_waits_for_us_is_taken(daemon, asterisk):
    d = start(daemon, asterisk)
    os.kill(d.pid, signal.SIGSTOP)
    asterisk.local("wait", "test", "x")
    wait_until(lambda: [c for c in asterisk.channels() if c["dialplan"]["app_data"].startswith("test,x")],
               what="the call does not reach Stasis")
    os.kill(d.pid, signal.SIGKILL)
    d.kill()
    d.start()
    d.wait_ready(20)
    event = d.pubsub().wait_dialog("test").wait_event("StasisStart")
    assert event["args"] == ["x"] and event["voxbus_resync"] is True


def test_asterisk_killed_in_mid_call(daemon, asterisk):
    d = start(daemon, asterisk)
    dialog, cid = incoming(d, asterisk)
    asterisk.kill()
    d.wait_log("port lost", state="down")
    asterisk.start()
    d.wait_ready(30)
    event = dialog.wait_event("StasisEnd", timeout=15)
    assert event["voxbus_resync"] is True and event["channel"]["id"] == cid
    assert dialog.wait_event("ChannelDestroyed")["channel"]["id"] == cid
    began = time.monotonic()
    incoming(d, asterisk)
    assert time.monotonic() - began < 5
