# SPDX-License-Identifier: MIT
"""kill -9 in a loop under load: everything that was answered 200 is delivered, each queue in order.

VOXBUS_KILLS (200) is the number of kills. Publishers and pollers go on over them; what was on its way when
the daemon died is unsure, and may come or not. What was read shortly before may come again.
"""
import http.client
import os
import random
import threading
import time

import pytest

KILLS = int(os.environ.get("VOXBUS_KILLS") or 200)
QUEUES = 3
DOWN = (OSError, http.client.HTTPException, ValueError)


class Publisher(threading.Thread):
    """Posts 0, 1, 2, ... to its queue; `taken` are those answered 200, in order."""

    def __init__(self, p, queue, stop):
        super().__init__(daemon=True)
        self.p, self.queue, self.stop, self.taken, self.odd = p, queue, stop, [], []

    def run(self):
        n = 0
        while not self.stop.is_set():
            try:
                answer = self.p.post(self.queue, f"{n} " + "x" * (n * 37 % 2000), "text/plain", session=False)
                if answer.status == 200:
                    self.taken.append(n)
                elif answer.status != 503:
                    self.odd.append(answer)
            except DOWN:
                time.sleep(0.01)
            n += 1
            time.sleep(0.002)


class Poller(threading.Thread):
    """Takes what its queue gives; `got` are the numbers in the order of their coming."""

    def __init__(self, p, queue, stop):
        super().__init__(daemon=True)
        self.p, self.queue, self.stop, self.got = p, queue, stop, []

    def run(self):
        while not self.stop.is_set():
            try:
                self.take(0.2)
            except (AssertionError, *DOWN):
                time.sleep(0.01)

    def take(self, timeout):
        messages = self.p.poll(self.queue, timeout=timeout, max=50)
        self.got += [int(m["Body"].split(" ")[0]) for m in messages]
        return messages


@pytest.mark.limit(600)
def test_kill_9_in_a_loop_under_load_loses_nothing_acknowledged(daemon):
    d = daemon({"journal": {"segment": "1MiB"}})
    d.expect_log("journal torn")
    draw, stop, p = random.Random(1), threading.Event(), d.pubsub()
    _ = p.session
    publishers = [Publisher(p, f"q{i}", stop) for i in range(QUEUES)]
    pollers = [Poller(p, f"q{i}", stop) for i in range(QUEUES)]
    for thread in publishers + pollers:
        thread.start()
    for _ in range(KILLS):
        time.sleep(draw.uniform(0, 0.15))
        d.kill()
        d.start()
    stop.set()
    for thread in publishers + pollers:
        thread.join(20)
    for publisher, poller in zip(publishers, pollers):
        while poller.take(1):
            pass
        first = list(dict.fromkeys(poller.got))
        assert not publisher.odd, publisher.odd[:3]
        assert publisher.taken, "nothing was published"
        assert first == sorted(first), "out of order"
        assert not set(publisher.taken) - set(first), "acknowledged and never delivered"
    d.stop()
