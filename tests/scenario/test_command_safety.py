# SPDX-License-Identifier: MIT
"""Commands side by side, commands that come twice, and a daemon that is killed in the middle."""
import collections
import random
import threading
import time
import uuid

import pytest

from ari_peer import stasis_start
from harness import applications, ari_engine, wait_until


@pytest.fixture
def call(daemon, ari_peer):
    """A function: (daemon, peer, dialog) with a call c1 in it, of an application with these options."""
    def start(**options):
        d = daemon({"engines": [ari_engine(ari_peer.url, "hello")], "applications": applications("hello", **options)})
        d.wait_ready()
        ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
        return d, ari_peer, d.pubsub().wait_dialog("hello")
    yield start
    ari_peer.rest_delay = 0


class Replies:
    """All replies of a dialog, each once, however often it is handed out and whoever is killed meanwhile."""

    def __init__(self, dialog):
        self.dialog = dialog
        self.by_seq = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                for reply in self.dialog.pubsub.poll(f"responses_{self.dialog.id}", timeout=0.5, max=100):
                    self.by_seq[reply["seq"]] = reply
            except (OSError, AssertionError, ValueError):
                time.sleep(0.05)

    def of(self, unique_id):
        replies = sorted(self.by_seq.copy().items())  # copied whole: the thread goes on adding
        return [r["status_code"] for _, r in replies if r["unique_id"] == unique_id]

    def wait(self, unique_id, count=1, timeout=20):
        wait_until(lambda: len(self.of(unique_id)) >= count, timeout, f"no {count} replies to {unique_id}")
        return self.of(unique_id)

    def stop(self):
        self._stop.set()
        self._thread.join(10)


def post(dialog, method, url, unique_id):
    """Posts a command until it is acknowledged, as a careful client does; returns how many tries it took."""
    tries = 0
    while True:
        tries += 1
        try:
            if dialog.pubsub.post(f"commands_{dialog.id}", {"unique_id": unique_id, "url": url, "method": method,
                                                             "body": ""}).status == 200:
                return tries
        except OSError:
            pass
        time.sleep(0.05)


def done(peer, path):
    return len([r for r in peer.requests if r.path == path])


def test_slow_command_on_one_channel_does_not_delay_another(call):
    _, peer, dialog = call()
    peer.rest_delay = lambda request: 4 if request.path == "/channels/c1/slow" else 0
    slow = dialog.send("POST", "/channels/c1/slow")
    peer.wait_request("POST", "/channels/c1/slow")
    after = dialog.send("POST", "/channels/c1/after")
    began = time.monotonic()
    for i in range(10):
        assert dialog.command("POST", f"/channels/c2/{i}")["status_code"] == 204
    assert time.monotonic() - began < 2
    assert done(peer, "/channels/c1/after") == 0  # in order on its own channel
    assert dialog.response(slow)["status_code"] == 204
    assert dialog.response(after)["status_code"] == 204


def test_command_sent_twice_is_done_once(call):
    d, peer, dialog = call(deduplicate="always")
    replies = Replies(dialog)
    post(dialog, "POST", "/channels/c1/play", "once")
    assert replies.wait("once") == [201]
    post(dialog, "POST", "/channels/c1/play", "once")
    assert replies.wait("once", 2) == [201, 201]
    d.restart()
    d.wait_ready()
    post(dialog, "POST", "/channels/c1/play", "once")
    assert replies.wait("once", 3) == [201, 201, 201]
    assert done(peer, "/channels/c1/play") == 1
    assert d.metrics()["voxbus_hub_repeated_commands_total"] == 1  # since the restart
    replies.stop()


def test_killed_with_several_under_way_each_has_its_reply(call):
    d, peer, dialog = call(deduplicate="always")
    peer.rest_delay = lambda request: 60 if request.path.endswith("/slow") else 0
    for i in range(4):
        post(dialog, "POST", f"/channels/c{i}/slow", f"slow{i}")
        peer.wait_request("POST", f"/channels/c{i}/slow")
    post(dialog, "GET", "/channels/get/slow", "get")
    peer.wait_request("GET", "/channels/get/slow")
    replies = Replies(dialog)
    post(dialog, "POST", "/channels/quick/hold", "quick")
    assert replies.wait("quick") == [204]
    d.kill()
    peer.rest_delay = 0
    d.start()
    d.wait_ready()
    for i in range(4):
        assert replies.wait(f"slow{i}") == [504]
    assert replies.wait("get") == [404]
    for i in range(4):
        post(dialog, "POST", f"/channels/c{i}/slow", f"slow{i}")
        assert replies.wait(f"slow{i}", 2) == [504, 504]
    post(dialog, "POST", "/channels/quick/hold", "quick")
    assert replies.wait("quick", 2) == [204, 204]
    time.sleep(0.5)
    replies.stop()
    assert [replies.of(f"slow{i}") for i in range(4)] == [[504, 504]] * 4
    assert replies.of("get") == [404] and replies.of("quick") == [204, 204]
    assert [done(peer, f"/channels/c{i}/slow") for i in range(4)] == [1] * 4
    assert done(peer, "/channels/get/slow") == 2 and done(peer, "/channels/quick/hold") == 1


@pytest.mark.limit(120)
def test_killed_again_and_again_no_command_is_done_twice(call):
    d, peer, dialog = call(deduplicate="always")
    rng = random.Random(7)
    peer.rest_delay = lambda request: random.Random(request.path).uniform(0, 0.08) if "/x" in request.path else 0
    replies = Replies(dialog)
    tries = collections.Counter()
    stop = threading.Event()

    def work(channel):
        while not stop.is_set():
            unique_id = uuid.uuid4().hex
            tries[(channel, unique_id)] = post(dialog, "POST", f"/channels/{channel}/x{unique_id}", unique_id)

    workers = [threading.Thread(target=work, args=(f"c{i}",), daemon=True) for i in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(6):
        time.sleep(rng.uniform(0.5, 1))
        d.kill()
        d.start()
    d.wait_ready()
    stop.set()
    for worker in workers:
        worker.join(20)
    assert len(tries) > 50
    for (channel, unique_id), tried in tries.items():
        answers = replies.wait(unique_id)
        assert 1 <= len(answers) <= tried, (unique_id, answers, tried)
        times = done(peer, f"/channels/{channel}/x{unique_id}")
        assert times <= 1 and (times == 1 or answers[0] in (503, 504)), (unique_id, answers, times)
    replies.stop()
