# SPDX-License-Identifier: MIT
"""The disk: not there, full, damaged, and a daemon that is killed while it writes."""
import json
import os
import pathlib
import random
import subprocess
import tempfile
import threading
import time

import pytest

import harness
from ari_peer import event, channel, stasis_end, stasis_start
from harness import applications, ari_engine, wait_until


@pytest.fixture
def small_disk():
    """A function that mounts a file system of that many MiB (it takes root): its path."""
    mounted = []

    def mount(mib):
        path = pathlib.Path(tempfile.mkdtemp(prefix="vf", dir="/tmp"))
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "voxbus", str(path)], capture_output=True,
                              check=False)
        if done.returncode:
            path.rmdir()
            pytest.fail("a small file system is mounted here: run the tests as root")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)
        path.rmdir()


def config(peer, **more):
    return {"engines": [ari_engine(peer.url, "hello")], "applications": applications("hello"),
            "dialogs": {"linger": "1s"}, **more}


def call_works(d, peer, cid):
    session = peer.wait_session("hello")
    session.send(stasis_start(cid, "hello"))
    dialog = d.pubsub().wait_dialog("hello")
    assert dialog.wait_event("StasisStart")["channel"]["id"] == cid
    session.send(event("ChannelVarset", "hello", variable="x", value="y", channel=channel(cid)))
    dialog.wait_event("ChannelVarset")
    assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
    session.send(stasis_end(cid, "hello"))
    dialog.wait_event("StasisEnd")
    return dialog


def fill(p, queue="fill"):
    """Posts until not even a small one is taken; returns (the refusal, how many were taken)."""
    n = 0
    for size in (60000, 4000, 100, 1):
        while (answer := p.post(queue, f"{n} " + "x" * size, "text/plain")).status == 200:
            n += 1
    return answer, n


def count(p, queue, timeout=0):
    got = []
    while messages := p.poll(queue, timeout=timeout, max=100):
        got += [int(m["Body"].split(" ")[0]) for m in messages]
    return got


def test_quota_refuses_and_nothing_taken_is_lost(daemon, ari_peer):
    d = daemon(config(ari_peer, journal={"quota": "8MiB", "segment": "1MiB"}))
    d.expect_log("journal refused")
    d.wait_ready()
    call_works(d, ari_peer, "c0")
    p = d.pubsub()
    answer, n = fill(p)
    assert answer.status == 507 and n > 20, answer
    for i in range(3):
        call_works(d, ari_peer, f"full{i}")
    d.kill()
    d.start()
    p = d.pubsub()
    assert count(p, "fill") == list(range(n))
    d.wait_ready()
    wait_until(lambda: p.post("fill", "0 x", "text/plain").status == 200, 10, "room does not come back")
    while p.poll("hello", timeout=0.2, max=100):
        pass  # that the AppStarts were read may not have found room on the disk: they come again
    call_works(d, ari_peer, "c1")


def test_calls_after_a_full_journal_are_recorded_again(daemon, ari_peer):
    d = daemon(config(ari_peer, journal={"quota": "8MiB", "segment": "1MiB"}))
    d.expect_log("journal refused")
    d.wait_ready()
    p = d.pubsub()
    _, n = fill(p)
    call_works(d, ari_peer, "full")
    assert count(p, "fill") == list(range(n))
    wait_until(lambda: p.post("fill", "0 x", "text/plain").status == 200)
    ari_peer.wait_session("hello").send(stasis_start("later", "hello"))
    wait_until(lambda: d.metrics()["voxbus_hub_dialogs_opened_total"] == 2)
    time.sleep(0.3)
    d.kill()
    ari_peer.answer("GET", "/channels", 200, [channel("later", app="hello")])
    ari_peer.answer("GET", "/applications/hello", 200, {"name": "hello", "channel_ids": ["later"], "bridge_ids": []})
    d.start()
    d.wait_ready()
    seen, p = [], d.pubsub()
    for start in p.poll("hello", max=100):
        seen += [json.loads(e["ari_body"])["channel"]["id"] for e in p.poll(f"events_{start['dialog_id']}", timeout=1, max=100)]
    assert "later" in seen


@pytest.mark.limit(90)
def test_full_disk_refuses_calls_go_on_and_it_recovers(daemon, ari_peer, small_disk):
    disk = small_disk(12)
    (disk / "ballast").write_bytes(bytes(4 << 20))
    d = daemon(config(ari_peer, data_dir=str(disk / "d"), journal={"segment": "1MiB"}))
    d.expect_log("journal refused", "disk full", "disk has room again", "state log not rewritten")
    d.wait_ready()
    call_works(d, ari_peer, "before")
    session = ari_peer.wait_session("hello")
    session.send(stasis_start("held", "hello"))
    held = d.pubsub().wait_dialog("hello")
    held.wait_event("StasisStart")
    p = d.pubsub()
    _ = p.session
    refused, taken, unsure = [], [], []

    def publish(n):
        try:
            answer = p.request("POST", p.target("fill", session=p.session), f"{n} ".encode() + b"x" * 60000,
                               {"Content-Type": "text/plain"}, timeout=3)
            (taken if answer.status == 200 else refused).append(n)
            assert answer.status in (200, 507), answer
            return answer.status
        except TimeoutError:
            unsure.append(n)
            return 0

    n = 0
    while not refused and n < 1000:
        session.send(event("ChannelVarset", "hello", variable="n", value=str(n), channel=channel("held")))
        publish(n)
        n += 1
    assert len(unsure) <= 1, "who is not answered was on its way when the disk became full"
    for i in range(n):
        assert held.wait_event("ChannelVarset")["value"] == str(i)
    for i in range(5):
        session.send(event("ChannelVarset", "hello", variable="x", value=str(i), channel=channel("held")))
    assert held.wait_event("ChannelVarset")["value"] == "0"
    assert held.command("POST", "/channels/held/answer")["status_code"] == 204
    for i in range(3):
        call_works(d, ari_peer, f"full{i}")
    assert d.ready() in (True, False) and d.admin("GET", "/api/status").status == 200
    got = count(p, "fill")
    assert set(taken) <= set(got) <= set(taken + unsure)
    (disk / "ballast").unlink()
    wait_until(lambda: publish(9999) == 200, 20, "room does not come back")
    assert 9999 in count(p, "fill", timeout=1)
    session.send(stasis_end("held", "hello"))
    held.wait_event("StasisEnd")
    call_works(d, ari_peer, "after")


def test_a_full_disk_at_the_stop(daemon, small_disk):
    disk = small_disk(6)
    d = daemon({"data_dir": str(disk / "d"), "journal": {"segment": "1MiB"}})
    d.expect_log("journal refused", "disk full", "disk has room again", "journal closed with losses")
    p = d.pubsub()
    for n in range(200):
        try:
            if p.request("POST", p.target("fill", session=p.session), b"x" * 60000, timeout=2).status != 200:
                break
        except TimeoutError:
            break
    began = time.monotonic()
    d.stop()
    assert time.monotonic() - began < 4


@pytest.mark.limit(90)
def test_kill_9_again_and_again_loses_nothing(daemon):
    d = daemon({"journal": {"segment": "1MiB"}})
    d.expect_log("journal torn")
    taken, got = [], set()
    stop = threading.Event()
    lock = threading.Lock()
    numbers = iter(range(10**9))
    harness_p = d.pubsub()

    def publisher():
        while not stop.is_set():
            with lock:
                n = next(numbers)
            try:
                answer = harness_p.request("POST", f"/{harness.SID}/q{n % 5}", f"{n} ".encode() + b"x" * (n % 3000),
                                           {"Content-Type": "text/plain"}, timeout=5)
                if answer.status == 200:
                    taken.append(n)
            except (OSError, harness.http.client.HTTPException):
                time.sleep(0.01)

    def poller():
        p, i = None, 0
        while not stop.is_set():
            i += 1
            try:
                p = p or d.pubsub()
                for m in p.poll(f"q{i % 4}", timeout=0.05, max=100):
                    got.add(int(m["Body"].split(" ")[0]))
            except (OSError, harness.http.client.HTTPException, AssertionError):
                p = None
                time.sleep(0.01)

    threads = [threading.Thread(target=f, daemon=True) for f in (publisher, publisher, publisher, poller)]
    for t in threads:
        t.start()
    starts = []
    for _ in range(20):
        time.sleep(random.uniform(0.02, 0.3))
        d.kill()
        began = time.monotonic()
        d.start()
        starts.append(time.monotonic() - began)
    stop.set()
    for t in threads:
        t.join(10)
    p = d.pubsub()
    for q in range(5):
        got.update(count(p, f"q{q}", timeout=0.3))
    missing = set(taken) - got
    assert not missing, f"{len(missing)} of {len(taken)} acknowledged are lost: {sorted(missing)[:10]}"
    assert len(taken) > 200
    assert max(starts) < 3, starts


def test_damage_is_reported_and_its_neighbours_are_served(daemon):
    d = daemon({"journal": {"segment": "1MiB"}})
    d.expect_log("journal damaged", "damaged record", "journal damage", "damage", "torn tail", "segment damaged")
    p = d.pubsub()
    for n in range(60):
        assert p.post("q", f"{n} " + "x" * 1000, "text/plain").status == 200
    d.stop()
    segments = [f for f in d.data_dir.rglob("*") if f.is_file() and b"30 xxxx" in f.read_bytes()]
    data = bytearray(segments[-1].read_bytes())
    at = data.find(b"xxxxxxxx", data.find(b"30 xxxx"))
    assert at > 0
    data[at] ^= 0x40
    segments[-1].write_bytes(data)
    d.start()
    got = count(d.pubsub(), "q")
    assert got == [n for n in range(60) if n != 30]
    log = [e for e in d.events() if e["level"] in ("warn", "error")]
    assert log and any("dam" in e["event"] for e in log), log


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "zeros", "removed", "states"])
def test_damaged_files_do_not_keep_it_from_starting(daemon, damage):
    d = daemon({"journal": {"segment": "1MiB"}}, )
    p = d.pubsub()
    for n in range(30):
        assert p.post("q", f"{n} " + "x" * 1000, "text/plain").status == 200
    d.stop()
    files = [f for f in (d.data_dir / "journal").iterdir() if f.is_file() and f.stat().st_size > 4096]
    states = [f for f in files if "state" in f.name]
    segment = max((f for f in files if f not in states), key=lambda f: f.stat().st_size)
    data = segment.read_bytes()
    if damage == "empty":
        segment.write_bytes(b"")
    elif damage == "cut":
        segment.write_bytes(data[:len(data.rstrip(b"\0")) - 500])
    elif damage == "garbage":
        segment.write_bytes(os.urandom(len(data)))
    elif damage == "zeros":
        segment.write_bytes(bytes(len(data)))
    elif damage == "removed":
        segment.unlink()
    elif states:
        states[0].write_bytes(os.urandom(3000))
    d.start(wait=False)
    try:
        d.wait_healthy()
    except AssertionError as e:
        assert damage == "states", e
        assert "AddressSanitizer" not in d.output
        d.expect_log()
        return
    for e in d.events():
        if e["level"] in ("warn", "error"):
            d.expect_log(e["event"])
    p = d.pubsub()
    got = count(p, "q")
    assert got == (list(range(29)) if damage == "cut" else list(range(30)) if damage == "states" else []), got
    assert p.post("q", "77 x", "text/plain").status == 200
    assert count(p, "q", timeout=2) == [77]


def test_data_dir_that_cannot_be_used(daemon, tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for data_dir in (str(file), str(file / "below"), "/proc/voxbus/x"):
        d = daemon({"data_dir": data_dir}, wait=False)
        code = d.wait_end()
        assert code not in (0, 99) and code > 0, (data_dir, code)
        assert data_dir in d.output and len(d.output.strip().splitlines()) == 1, d.output


def test_two_daemons_on_one_data_dir(daemon):
    d = daemon()
    other = daemon({"data_dir": str(d.data_dir)}, wait=False)
    code = other.wait_end()
    assert code > 0 and f"process {d.pid}" in other.output and "data_dir" in other.output
    assert d.healthy()
