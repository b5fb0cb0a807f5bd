# SPDX-License-Identifier: MIT
"""Real SIP calls with RTP through a real Asterisk: examples/hello.sh answers them, and an application uses them."""
import os
import pathlib
import subprocess

import pytest

from harness import applications, wait_until

HELLO = pathlib.Path(__file__).parents[2] / "examples" / "hello.sh"


@pytest.fixture
def hello(daemon, asterisk):
    """voxbusd on the lab's Asterisk with examples/hello.sh as the application `hello`."""
    d = daemon({"engines": [asterisk.engine("hello")], "applications": applications("hello")})
    d.wait_ready(20)
    p = d.pubsub()
    env = {**os.environ, "VOXBUS_URL": f"http://127.0.0.1:{d.http_port}", "VOXBUS_SID": p.sid, "VOXBUS_TOKEN": p.token}
    process = subprocess.Popen([str(HELLO)], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               start_new_session=True)
    yield d
    assert process.poll() is None, "hello.sh has ended"
    process.terminate()
    process.wait(10)


def test_hello_answers_twenty_calls_one_after_the_other(hello, asterisk, sipp):
    calls = sipp("7000", count=20, hangup="callee", parallel=1, rate=20, limit=90)
    assert calls.result() == (20, 0), calls.said
    wait_until(lambda: not asterisk.channels(), 5, "a channel is left")
    assert hello.metrics()["voxbus_hub_dialogs_opened_total"] == 20


def test_hello_answers_twenty_calls_five_at_once(hello, asterisk, sipp):
    calls = sipp("7000", count=20, hangup="callee", parallel=5, rate=20, limit=60)
    assert calls.result() == (20, 0), calls.said
    wait_until(lambda: not asterisk.channels(), 5, "a channel is left")


def test_call_is_answered_played_to_bridged_recorded_and_hung_up(daemon, asterisk, sipp):
    d = daemon({"engines": [asterisk.engine("test")], "applications": applications("test")})
    d.wait_ready(20)
    calls = sipp("8000", hangup="callee", limit=40)
    dialog = d.pubsub().wait_dialog("test")
    start = dialog.wait_event("StasisStart")
    cid = start["channel"]["id"]
    assert start["channel"]["name"].startswith("PJSIP/")
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204

    assert dialog.command("POST", f"/channels/{cid}/play/p1", {"media": "sound:digits/1"})["status_code"] == 201
    assert dialog.wait_event("PlaybackFinished")["playback"]["state"] == "done"

    # The far end of this leg sends 1234#; the leg is the dialog's own, because the dialog made it.
    leg = {"endpoint": "Local/dtmf@far/n", "app": "test"}
    assert dialog.command("POST", "/channels/leg", leg)["status_code"] == 200
    assert dialog.wait_event("StasisStart")["channel"]["id"] == "leg"
    assert "".join(dialog.wait_event("ChannelDtmfReceived")["digit"] for _ in range(5)) == "1234#"

    assert dialog.command("POST", "/bridges", {"bridgeId": "room", "type": "mixing"})["status_code"] == 200
    assert dialog.command("POST", "/bridges/room/addChannel", {"channel": cid})["status_code"] == 204
    assert dialog.wait_event("ChannelEnteredBridge")["bridge"]["id"] == "room"
    record = {"name": "rec-one", "format": "wav", "maxDurationSeconds": 1, "ifExists": "overwrite"}
    assert dialog.command("POST", "/bridges/room/record", record)["status_code"] == 201
    assert dialog.wait_event("RecordingFinished")["recording"]["name"] == "rec-one"
    stored = dialog.command("GET", "/recordings/stored/rec-one/file")
    assert stored["status_code"] == 200 and stored["encoding"] == "base64"
    assert dialog.command("DELETE", "/bridges/room")["status_code"] == 204

    assert dialog.command("DELETE", f"/channels/{cid}")["status_code"] == 204
    while dialog.wait_event("StasisEnd")["channel"]["id"] != cid:
        pass
    calls.must_succeed()
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 404  # a dead call: a definite answer
    seqs = [e["seq"] for e in dialog.seen]
    assert seqs == list(range(1, len(seqs) + 1))


def test_daemon_killed_in_mid_call_goes_on_with_it(daemon, asterisk, sipp):
    d = daemon({"engines": [asterisk.engine("test")], "applications": applications("test")})
    d.wait_ready(20)
    calls = sipp("8000", hangup="callee", limit=40)
    dialog = d.pubsub().wait_dialog("test")
    cid = dialog.wait_event("StasisStart")["channel"]["id"]
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
    d.kill()
    d.start()
    d.wait_ready(20)
    dialog.pubsub = d.pubsub()
    assert dialog.command("DELETE", f"/channels/{cid}")["status_code"] == 204
    assert dialog.wait_event("StasisEnd")["channel"]["id"] == cid
    calls.must_succeed()


def test_call_on_asterisk_16(daemon, asterisk_16):
    d = daemon({"engines": [asterisk_16.engine("test")], "applications": applications("test")})
    d.wait_ready(20)
    calls = asterisk_16.sipp("8000", hangup="callee", limit=40)
    try:
        dialog = d.pubsub().wait_dialog("test")
        cid = dialog.wait_event("StasisStart")["channel"]["id"]
        assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
        assert dialog.command("POST", f"/channels/{cid}/play/p1", {"media": "sound:digits/1"})["status_code"] == 201
        assert dialog.wait_event("PlaybackFinished")["playback"]["id"] == "p1"
        assert dialog.command("DELETE", f"/channels/{cid}")["status_code"] == 204
        assert dialog.wait_event("StasisEnd")["channel"]["id"] == cid
        calls.must_succeed()
    finally:
        calls.clean()
