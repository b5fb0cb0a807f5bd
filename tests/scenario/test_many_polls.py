# SPDX-License-Identifier: MIT
"""Thousands of polls that wait, and what happens when descriptors run out."""
import collections
import json
import os
import resource
import select
import socket
import time

import pytest

from harness import SID, wait_until

POLLS = 2000
FILES_RESERVED = 320


@pytest.fixture(autouse=True)
def many_files():
    """Room for the clients' sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def log_in(d):
    return d.pubsub().auth()


def status(d):
    return json.loads(d.admin("GET", "/api/status").body)


def waiters(d):
    return next(p for p in status(d)["ports"] if p["type"] == "longpoll")["stats"]["waiters"]


def connect(d):
    s = socket.create_connection(("127.0.0.1", d.http_port), timeout=20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def ask(s, session, queue, more=""):
    s.sendall(f"GET /{SID}/{queue}?timeout=50s&max=1{more} HTTP/1.1\r\nHost: a\r\nAuthorization: {session}\r\n\r\n"
              .encode())


def post(s, queue, body):
    """On a connection that is kept; returns the status."""
    s.sendall(f"POST /{SID}/{queue} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    return int(s.recv(65536).split()[1])


def collect(socks, timeout=30):
    """The bytes that each has got, by socket, once all have a whole answer."""
    got = collections.defaultdict(bytes)
    poller = select.epoll()
    by_fd = {s.fileno(): s for s in socks}
    for fd in by_fd:
        poller.register(fd, select.EPOLLIN)
    left, deadline = set(by_fd), time.monotonic() + timeout
    while left and time.monotonic() < deadline:
        for fd, _ in poller.poll(0.5):
            data = by_fd[fd].recv(65536)
            assert data, "a poll's connection was closed"
            got[by_fd[fd]] += data
            if got[by_fd[fd]].endswith(b"0\r\n\r\n"):
                left.discard(fd)
    poller.close()
    assert not left, f"{len(left)} polls got nothing"
    return got


def number_of(answer):
    """The number in the one message of an answer."""
    body = answer.split(b"\r\n\r\n", 1)[1]
    assert body.count(b'"number=') == 1, body
    return int(body.split(b'"number=')[1].split(b'"')[0])


@pytest.mark.limit(120)
@pytest.mark.parametrize("own", [False, True], ids=["one queue", "own queues"])
def test_one_publish_releases_each_of_many_polls(daemon, own):
    d = daemon()
    session = log_in(d)
    polls = [connect(d) for _ in range(POLLS)]
    for i, s in enumerate(polls):
        ask(s, session, f"worker-{i}" if own else "all")
    wait_until(lambda: waiters(d) == POLLS, 30, "not all polls wait", every=0.1)
    streams = status(d)["streams"]["streams"]
    assert streams < 10, "a queue without messages has a stream"

    publisher, bystander = connect(d), connect(d)
    slowest = 0
    for i in range(POLLS):
        assert post(publisher, f"worker-{i}" if own else "all", f"number={i}") == 200
        if i % 50 == 0:
            began = time.monotonic()
            assert post(bystander, "elsewhere", "x") == 200
            slowest = max(slowest, time.monotonic() - began)
    got = collect(polls)
    numbers = [number_of(got[s]) for s in polls]
    if own:
        assert numbers == list(range(POLLS))
    else:
        assert sorted(numbers) == list(range(POLLS))
    assert slowest < 2, "somebody else was held up"
    assert waiters(d) == 0
    for s in [*polls, publisher, bystander]:
        s.close()


def test_who_has_waited_longest_is_served_first(daemon):
    d = daemon()
    session = log_in(d)
    polls = []
    for i in range(40):
        polls.append(connect(d))
        ask(polls[-1], session, "q")
        wait_until(lambda n=i + 1: waiters(d) == n, 10, "the poll does not wait", every=0.001)
    for i in (0, 7, 39):
        polls[i].close()
    wait_until(lambda: waiters(d) == 37, 10, "those that went still wait")
    left = [s for i, s in enumerate(polls) if i not in (0, 7, 39)]
    publisher = connect(d)
    for i in range(37):
        assert post(publisher, "q", f"number={i}") == 200
    got = collect(left)
    assert [number_of(got[s]) for s in left] == list(range(37))
    assert b"Redelivered" not in b"".join(got.values())


def test_the_soft_limit_of_files_is_raised_and_said(daemon):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    d = daemon()
    allowed = min(20000, hard - FILES_RESERVED)
    assert status(d)["process"]["max_fds"] == hard
    assert status(d)["http"]["limit"] == allowed
    assert d.wait_log("connections")["max"] == str(allowed)
    assert f"http 0 of {allowed} connections" in d.cli("status").stdout


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_running_out_of_descriptors_is_survived(daemon):
    d = daemon()
    session = log_in(d)
    poll, publisher = connect(d), connect(d)
    ask(poll, session, "q")
    wait_until(lambda: waiters(d) == 1, 10, "the poll does not wait")
    assert post(publisher, "other", "x") == 200
    d.expect_log("connections can't be accepted")
    limits = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{d.pid}/fd")) + 3, limits[1]))

    more = [connect(d) for _ in range(20)]  # the kernel takes them, nobody accepts the last ones
    d.wait_log("connections can't be accepted")
    before = cpu_seconds(d.pid)
    time.sleep(1)
    assert cpu_seconds(d.pid) - before < 0.5, "it spins"
    assert post(publisher, "q", "number=1") == 200
    assert number_of(collect([poll])[poll]) == 1

    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, limits)
    d.wait_log("accepting again")
    for s in more:
        ask(s, session, "q", "&empty=204")
    wait_until(lambda: waiters(d) == 20, 10, "those who waited in the kernel are not served")
    assert status(d)["http"]["accept_failures"] >= 1
    assert len(d.events("connections can't be accepted")) == 1
