# SPDX-License-Identifier: MIT
"""voxbus replay: a call's events once more, by the admin API and by the command."""
import json
import time

from ari_peer import channel, event, stasis_start
from harness import Dialog, applications, ari_engine


def call(daemon, peer, gap=0):
    """A call whose two events nobody has read."""
    d = daemon({"engines": [ari_engine(peer.url, "hello")], "applications": applications("hello")})
    d.wait_ready()
    session = peer.wait_session("hello")
    session.send(stasis_start("c1", "hello"))
    start, = d.pubsub().poll("hello", max=1)
    time.sleep(gap)
    session.send(event("ChannelHold", "hello", channel=channel("c1")))
    return d, Dialog(d.pubsub(), start)


def take(d, topic, n):
    got = []
    deadline = time.monotonic() + 10
    while len(got) < n and time.monotonic() < deadline:
        got += d.pubsub().poll(topic, timeout=1)
    return got


def test_events_come_again_and_say_so(daemon, ari_peer):
    d, dialog = call(daemon, ari_peer)
    time.sleep(0.2)
    done = d.cli("replay", dialog.id, "--speed", "0")
    assert done.returncode == 0, done
    assert done.stdout == f"2 events, from number 1 on, go to replay_{dialog.id}\n"
    again = take(d, f"replay_{dialog.id}", 2)
    dialog.wait_event("ChannelHold")  # the live ones are as they were
    assert [e["seq"] for e in dialog.seen] == [1, 2] and not any("replay" in e for e in dialog.seen)
    assert [e.pop("replay") for e in again] == [1, 2]
    assert again == dialog.seen  # the same bytes, times and numbers of then
    # read, and not kept: nothing is there any more
    done = d.cli("replay", dialog.id)
    assert done.returncode == 1 and "keep" in done.stderr, done


def test_pace_and_topic_are_what_was_asked_for(daemon, ari_peer):
    d, dialog = call(daemon, ari_peer, gap=1.5)
    time.sleep(0.2)
    began = time.monotonic()
    done = d.cli("replay", "--to", "again.1", "--json", dialog.id)
    assert json.loads(done.stdout) == {"dialog": dialog.id, "topic": "again.1", "first": 1, "events": 2}
    first, = d.pubsub().poll("again.1", max=1)
    second, = d.pubsub().poll("again.1", max=1)
    assert (first["type"], second["type"]) == ("StasisStart", "ChannelHold")
    assert 1.2 < time.monotonic() - began < 4
    began = time.monotonic()
    assert d.cli("replay", dialog.id, "--to", "again.2", "--speed", "10").returncode == 0
    assert len(take(d, "again.2", 2)) == 2 and time.monotonic() - began < 1.2


def test_events_of_before_a_restart(daemon, ari_peer):
    d, dialog = call(daemon, ari_peer)
    time.sleep(0.2)
    d.kill()
    ari_peer.answer("GET", "/channels", 200, [channel("c1", app="hello")])
    ari_peer.answer("GET", "/applications/hello", 200, {"name": "hello", "channel_ids": ["c1"], "bridge_ids": []})
    d.start()
    d.wait_ready()
    assert d.cli("replay", dialog.id, "--speed", "0").returncode == 0
    assert [e["replay"] for e in take(d, f"replay_{dialog.id}", 2)][:2] == [1, 2]


def test_what_can_not_be_is_a_sentence(daemon, ari_peer):
    d, dialog = call(daemon, ari_peer)
    for args, words in (((dialog.id, "--to", "hello"), "can't be used"), (("nobody",), "no call"),
                        ((dialog.id, "--speed", "fast"), "speed must be"), ((dialog.id, "--to", "a/b"), "can't be used")):
        done = d.cli("replay", *args)
        assert done.returncode == 1 and words in done.stderr, done
    for args in ((), ("a", "b"), ("--what", "a")):
        done = d.cli("replay", *args)
        assert done.returncode == 2 and "help replay" in done.stderr, done
    assert d.admin("GET", "/api/replay").status == 405
    assert d.admin("POST", "/api/replay").status == 400
    assert d.admin("POST", "/api/replay?dialog=nobody").status == 404
    assert d.admin("POST", f"/api/replay?dialog={dialog.id}&topic=events_x").status == 400
    assert d.admin("POST", "/api/status").status == 405
    assert d.admin("POST", f"/api/replay?dialog={dialog.id}&speed=0.001").status == 202
    assert d.admin("POST", f"/api/replay?dialog={dialog.id}&speed=0.001").status == 409
