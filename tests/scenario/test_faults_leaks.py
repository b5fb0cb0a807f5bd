# SPDX-License-Identifier: MIT
"""A long run, made short: after many calls nothing is left of them."""
import os
import time

import pytest

from ari_peer import event, channel, stasis_end, stasis_start
from harness import applications, ari_engine, wait_until

CALLS = 400


def fds(d):
    """Open files but for those of the journal, and for REST connections that are kept."""
    links = []
    for fd in os.listdir(f"/proc/{d.pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{d.pid}/fd/{fd}"))
        except OSError:
            pass
    return sum("/journal/" not in link for link in links)


def calls(d, peer, prefix, n):
    """n whole calls in batches, each with its events read and one command."""
    session, p = peer.wait_session("hello"), d.pubsub()
    for at in range(0, n, 20):
        ids = [f"{prefix}-{at + i}" for i in range(20)]
        session.send(*(stasis_start(c, "hello") for c in ids))
        dialogs = []
        while len(dialogs) < 20:
            dialogs += [s["dialog_id"] for s in p.poll("hello", timeout=5, max=100)]
        for dialog in dialogs:
            p.post(f"commands_{dialog}", {"unique_id": "u", "url": "/channels/x/answer", "method": "POST"})
        session.send(*(event("ChannelDestroyed", "hello", channel=channel(c)) for c in ids),
                     *(stasis_end(c, "hello") for c in ids))
        for dialog in dialogs:
            seen = []
            while not seen or seen[-1] != "ChannelDestroyed":
                seen += [e["type"] for e in p.poll(f"events_{dialog}", timeout=5, max=100)]
            assert p.poll(f"responses_{dialog}", timeout=5)[0]["status_code"] == 204


def left(d):
    m = d.metrics()
    return {name: m[name] for name in m if any(word in name for word in ("dialogs", "objects", "streams", "waiting",
                                                                         "in_memory", "queues"))
            and "total" not in name and "max" not in name and m[name]}


@pytest.mark.limit(120)
def test_nothing_is_left_of_many_calls(daemon, ari_peer):
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello")], "applications": applications("hello"),
                "dialogs": {"linger": "0"}, "journal": {"segment": "1MiB"}})
    d.wait_ready()
    calls(d, ari_peer, "warm", 100)
    wait_until(lambda: d.metrics()["voxbus_hub_dialogs"] == 0, 20, "dialogs stay")
    time.sleep(0.3)
    before, open_before = left(d), fds(d)
    n = int(os.environ.get("VOXBUS_LEAK_CALLS", CALLS))
    rss = d.metrics()["voxbus_process_resident_memory_bytes"]
    calls(d, ari_peer, "c", n)
    wait_until(lambda: d.metrics()["voxbus_hub_dialogs"] == 0, 20, "dialogs stay")
    wait_until(lambda: left(d) == before, 10, f"{before} before, {left(d)} now")
    assert abs(fds(d) - open_before) <= 8
    grown = d.metrics()["voxbus_process_resident_memory_bytes"] - rss
    files = sorted(f.name for f in (d.data_dir / "journal").iterdir())
    assert len(files) < 8, files
    with open(f"/proc/{d.pid}/maps", encoding="utf-8") as maps:
        sanitized = "libasan" in maps.read()
    assert sanitized or grown < 4e6, grown
    print(f"\ngrown={grown} left={left(d)} fds={open_before}/{fds(d)} {files}")
