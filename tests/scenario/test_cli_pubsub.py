# SPDX-License-Identifier: MIT
"""voxbus publish, poll and queue: what scripts and people do with queues without writing HTTP by hand."""
import http.server
import json
import os
import pty
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
from certificates import Certificates
from harness import SID, TOKEN, VOXBUS, free_port, wait_until

ACCOUNT = {"VOXBUS_SID": SID, "VOXBUS_TOKEN": TOKEN}


@pytest.fixture
def bus(daemon):
    d = daemon()
    d.wait_ready()
    return d


def voxbus(d, *args, stdin=None, env=None, timeout=20):
    """Runs it with the test's account; returns what subprocess.run returns."""
    extra = {"VOXBUS_ADMIN": f"unix:{d.admin_path}", **ACCOUNT, **(env or {})}
    return subprocess.run([str(VOXBUS), *map(str, args)], input=stdin, capture_output=True, timeout=timeout,
                          env=harness.child_env(extra), check=False)


def start(d, *args, **options):
    """The same, running."""
    extra = {"VOXBUS_ADMIN": f"unix:{d.admin_path}", **ACCOUNT}
    return subprocess.Popen([str(VOXBUS), *args], env=harness.child_env(extra), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def fine(done):
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


def refused(done, code, *words):
    assert done.returncode == code and done.stdout == b"", done
    text = done.stderr.decode()
    assert text.startswith("voxbus: ") and text.count("\n") == 1, text
    for word in words:
        assert word in text, (word, text)


def test_what_is_published_is_polled(bus, tmp_path):
    p = bus.pubsub()
    file = tmp_path / "m"
    file.write_bytes(b"\x00\xff\x01")
    ids = [fine(voxbus(bus, "publish", "q", *args, stdin=stdin)).strip() for args, stdin in (
        (("-d", "plain text"), None), (("-d", '{"a": 1.0, "b":1e400}'), None), (("-d", "<Response><Say>x</Say></Response>"), None),
        (("-d", f"@{file}"), None), (("-d", "-"), b"from stdin"), ((), "gr\u00fc\u00df dich".encode()),
        (("--form", "name=v w", "a=1&2", "\u00fc=\u00e4"), None), (("-d", "x", "--content-type", "a/b"), None), (("-d", ""), None))]
    assert len(set(ids)) == 9 and all(len(i) == 32 for i in ids)
    got = p.poll("q", max=100)
    assert [m["Id"] for m in got] == ids
    for m, want in zip(got, (
            {"Body": "plain text", "ContentType": "text/plain; charset=utf-8"}, {"ContentType": "application/json"},
            {"Body": "<Response><Say>x</Say></Response>", "ContentType": "application/xml"},
            {"BodyBase64": "AP8B", "ContentType": "application/octet-stream"}, {"Body": "from stdin"},
            {"Body": "gr\u00fc\u00df dich"}, {"FormParams": {"name": "v w", "a": "1&2", "\u00fc": "\u00e4"}},
            {"Body": "x", "ContentType": "a/b"}, {"FormParams": {}})):
        assert {k: m.get(k) for k in want} == want, m
    assert json.loads(fine(voxbus(bus, "publish", "a b/\u00e9/c%", "--json", "-d", "x"))).keys() == {"id"}
    assert p.poll("a%20b/%C3%A9/c%25")[0]["Body"] == "x"


def test_poll_prints_lines_and_takes_what_it_printed(bus):
    for i in range(12):
        fine(voxbus(bus, "publish", "q", "--form", f"n={i}", "who=a b"))
    lines = fine(voxbus(bus, "poll", "q")).splitlines()
    assert len(lines) == 10 and all(line[2] == ":" and line[12:] == f" n={i} who=a b" for i, line in enumerate(lines))
    objects = [json.loads(line) for line in fine(voxbus(bus, "poll", "q", "--json", "--max", 1)).splitlines()]
    assert [m["FormParams"]["n"] for m in objects] == ["10"]
    assert fine(voxbus(bus, "poll", "--max=5", "q", "--timeout", "1s")).endswith(" n=11 who=a b\n")
    began = time.monotonic()
    assert fine(voxbus(bus, "poll", "q", "--timeout", "500ms")) == "" and 0.4 < time.monotonic() - began < 5
    fine(voxbus(bus, "publish", "q", "-d", '{"n":1e400,"s":"a\\u001bb"}'))
    text = bus.pubsub().request("GET", f"/{SID}/none?timeout=0&session={bus.pubsub().session}")
    assert text.status == 200
    assert '"Json":{"n":1e400,' in fine(voxbus(bus, "poll", "q", "--json")), "numbers stay as they are"


def test_poll_follows_over_a_restart_and_ends_at_a_signal(bus):
    d = bus
    poll = start(d, "poll", "q", "--follow", "--json")
    seen = []
    for i in range(3):
        fine(voxbus(d, "publish", "q", "-d", f"m{i}"))
        seen.append(json.loads(poll.stdout.readline())["Body"])
    d.restart()
    wait_until(lambda: voxbus(d, "publish", "q", "-d", "m3").returncode == 0)
    seen.append(json.loads(poll.stdout.readline())["Body"])
    assert seen == ["m0", "m1", "m2", "m3"]
    poll.send_signal(signal.SIGINT)
    out, err = poll.communicate(timeout=10)
    assert poll.returncode == 0 and out == b"", (out, err)
    assert err.count(b"trying again") == 1 and err.startswith(b"voxbus: ")
    fine(voxbus(d, "publish", "q", "-d", "m4"))
    assert " m4\n" in fine(voxbus(d, "poll", "q")), "nothing was taken behind the signal"


def test_queues_are_listed_shown_and_purged(bus):
    d = bus
    assert fine(voxbus(d, "queue", "list")) == "no queues\n"
    for i in range(3):
        fine(voxbus(d, "publish", "orders/new", "-d", str(i)))
    fine(voxbus(d, "publish", "alarms", "-d", "x"))
    poll = start(d, "poll", "waiting", "--timeout", "20s")
    wait_until(lambda: b"waiting" in voxbus(d, "queue").stdout)
    lines = fine(voxbus(d, "queue", "list")).splitlines()
    assert lines[0].split() == ["QUEUE", "ACCOUNT", "BUS", "MESSAGES", "UNDER", "WAY", "WAITERS", "OLDEST"]
    assert [line.split()[:6] for line in lines[1:]] == [
        ["alarms", SID, "http", "1", "0", "0"], ["orders/new", SID, "http", "3", "0", "0"],
        ["waiting", SID, "http", "0", "0", "1"]]
    assert lines[1].split()[6:] == ["0", "s"] and lines[3].split()[6:] == ["-"]
    assert [q["name"] for q in json.loads(fine(voxbus(d, "queue", "list", "o*", "--json")))] == ["orders/new"]
    assert fine(voxbus(d, "queue", "list", "nothing*")) == "no such queues\n"
    assert fine(voxbus(d, "queue", "show", f"{SID}/orders/new")).splitlines()[1].split()[3] == "3"
    refused(voxbus(d, "queue", "show", "nope"), 1, "nope: ", "No queue of that name")
    refused(voxbus(d, "queue", "purge", "nope", "--yes"), 1, "nope: ")
    refused(voxbus(d, "queue", "purge", "alarms", stdin=b""), 2, "--yes")
    assert fine(voxbus(d, "queue", "purge", "orders/new", "--yes")) == "3 messages purged\n"
    assert fine(voxbus(d, "queue", "list", "o*")) == "no such queues\n"
    d.kill()
    d.start()
    assert fine(voxbus(d, "queue", "list", "o*")) == "no such queues\n", "it does not come back"
    assert fine(voxbus(d, "poll", "orders/new", "--timeout", "0")) == ""
    assert fine(voxbus(d, "poll", "alarms")).endswith(" x\n")
    poll.kill()
    poll.communicate()


def test_a_purge_is_asked_for_again_on_a_terminal(bus):
    fine(voxbus(bus, "publish", "q", "-d", "x"))
    for answer, code in ((b"n\n", 1), (b"\n", 1), (b"y\n", 0)):
        master, slave = pty.openpty()
        run = subprocess.Popen([str(VOXBUS), "queue", "purge", "q"], stdin=slave, stdout=subprocess.PIPE,
                               env=harness.child_env({"VOXBUS_ADMIN": f"unix:{bus.admin_path}"}))
        os.write(master, answer)
        out, _ = run.communicate(timeout=10)
        os.close(master)
        os.close(slave)
        assert run.returncode == code and b"1 messages of q will be gone" in out, out
    assert bus.pubsub().poll("q", timeout=0) == []


def test_a_list_is_limited_and_says_how_many_there_are(bus):
    d, p = bus, bus.pubsub()
    for i in range(20):
        assert p.post(f"many/{i}", "x", "text/plain", session=False).status == 200
    answer = d.admin("GET", "/api/queues?limit=5")
    assert len(json.loads(answer.body)) == 5 and answer.headers["x-total-count"] == "20"
    assert json.loads(d.admin("GET", "/api/queues?limit=0").body) == []
    for query in ("limit=5001", "limit=x", "limit=-1", "name=" + "x" * 3000):
        answer = d.admin("GET", "/api/queues?" + query)
        assert answer.status == 400 and b"must be" in answer.body, answer
    for method, path, status in (("POST", "/api/queues", 405), ("DELETE", "/api/queues", 405), ("PUT", "/api/queues/x", 405),
                                 ("GET", "/api/queues/", 400), ("GET", "/api/queues/%ff", 404), ("GET", "/api/queues/%", 400),
                                 ("DELETE", "/api/queues/events_x", 404), ("GET", "/api/queues/" + "x" * 3000, 400)):
        assert d.admin(method, path).status == status, (method, path)


def test_what_is_under_way_is_not_purged(bus):
    d, p = bus, bus.pubsub()
    for i in range(5):
        assert p.post("q", f"{i}" + "x" * 200000, "text/plain", session=False).status == 200
    with socket.socket() as s:  # it has asked for two, and reads nothing
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", d.http_port))
        s.sendall(f"GET {p.target('q', max=2)} HTTP/1.1\r\nHost: h\r\nAuthorization: {p.session}\r\n\r\n".encode())
        wait_until(lambda: json.loads(d.admin("GET", "/api/queues/q").body)["under_way"] == 2)
        assert json.loads(d.admin("GET", "/api/queues/q").body)["messages"] == 5
        assert json.loads(d.admin("DELETE", "/api/queues/q").body) == {"purged": 3}
        shown = json.loads(d.admin("GET", "/api/queues/q").body)
        assert (shown["messages"], shown["under_way"]) == (2, 2)
    got = p.poll("q")
    assert [(m["Body"][:1], m["Redelivered"]) for m in got] == [("0", 1), ("1", 1)], "its client went: they come again"
    wait_until(lambda: d.admin("GET", "/api/queues/q").status == 404)
    assert p.post("q", "later", "text/plain", session=False).status == 200
    assert [m["Body"] for m in p.poll("q")] == ["later"]


def test_errors_name_the_thing_and_the_fix(bus, tmp_path):
    d = bus
    refused(voxbus(d, "poll", "q", env={"VOXBUS_TOKEN": "wrong"}), 1, "password of account", SID, "VOXBUS_TOKEN")
    refused(voxbus(d, "poll", "q", env={"VOXBUS_TOKEN": ""}), 1, "VOXBUS_TOKEN")
    refused(voxbus(d, "publish", "q", "-d", "x", env={"VOXBUS_SID": "ACnobody"}), 1, "ACnobody", "no such place")
    refused(voxbus(d, "poll", "q", env={"VOXBUS_SID": "", "VOXBUS_TOKEN": ""}), 1, "VOXBUS_SID and VOXBUS_TOKEN", "account")
    refused(voxbus(d, "publish", "q", "-d", "x", env={"VOXBUS_ADMIN": "unix:/nowhere/a.sock"}), 1, "not running",
            "/nowhere/a.sock")
    refused(voxbus(d, "publish", "q", "-d", "x", "--url", "http://127.0.0.1:1"), 1, "nothing listens", "127.0.0.1:1", "--url")
    refused(voxbus(d, "publish", "q", "-d", "x", "--url", f"https://127.0.0.1:{d.http_port}"), 1, "speak TLS", "http://")
    refused(voxbus(d, "publish", "q", "-d", "@/nowhere"), 1, "/nowhere", "No such file")
    refused(voxbus(d, "publish", "q", "-d", "x" * 100000, "-d", f"@{big(tmp_path)}"), 1, "413", "at most 262144 bytes")
    refused(voxbus(d, "publish", "events_x", "-d", "x"), 1, "events_x", "commands_<dialog>")
    refused(voxbus(d, "publish", "a/../b", "-d", "x"), 1, "segments")
    refused(voxbus(d, "poll", "q", "--timeout", "never"), 1, "400")
    for args in (("publish",), ("publish", "q", "r", "-d", "x"), ("publish", "q", "--form", "novalue"),
                 ("publish", "q", "--what"), ("publish", "q", "-d", "x", "--form", "a=b"), ("poll",), ("poll", "a", "b"),
                 ("poll", "q", "--max", "0"), ("poll", "q", "--max", "101"), ("poll", "q", "--timeout", "1 s"),
                 ("queue", "burn"), ("queue", "purge"), ("queue", "show", "a", "b"), ("queue", "--what")):
        done = voxbus(d, *args, stdin=b"")
        assert done.returncode == 2 and done.stdout == b"" and b"help " + args[0].encode() in done.stderr, (args, done)


def big(tmp_path):
    file = tmp_path / "big"
    file.write_bytes(b"x" * 300000)
    return file


def test_the_account_that_the_daemon_made_is_found(daemon):
    d = daemon({"accounts": [], "buses": [{"type": "longpoll", "name": "http"}]})
    d.wait_ready()
    env = {"VOXBUS_SID": "", "VOXBUS_TOKEN": ""}
    fine(voxbus(d, "publish", "q", "-d", "x", env=env))
    assert fine(voxbus(d, "poll", "q", env=env)).endswith(" x\n")
    listen = json.loads(d.admin("GET", "/api/status").body)["http"]["listen"]
    assert listen == [d.url]
    assert fine(voxbus(d, "--url", d.url, "publish", "q", "-d", "y", env=env))
    assert fine(voxbus(d, "poll", "--url", d.url, "q", env=env)).endswith(" y\n")


def test_tls_is_checked_unless_it_shall_not_be(daemon, tmp_path):
    pki, port, admin = Certificates(tmp_path), free_port(), free_port()
    pair = pki.issue("server")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key)}
    token = tmp_path / "token"
    token.write_text("x" * 32 + "\n")
    d = daemon({"http": {"listen": [f"127.0.0.1:{port}"], "tls": tls}}, http_port=port)
    d.wait_ready()
    d.expect_log("TLS refused")
    assert json.loads(d.admin("GET", "/api/status").body)["http"]["listen"] == [f"https://127.0.0.1:{port}"]
    fine(voxbus(d, "--cacert", pki.ca, "publish", "q", "-d", "x"))
    assert fine(voxbus(d, "--insecure", "poll", "q")).endswith(" x\n")
    assert fine(voxbus(d, "--cacert", pki.ca, "poll", "q", "--timeout", "0", "--url", f"https://127.0.0.1:{port}")) == ""
    refused(voxbus(d, "publish", "q", "-d", "x"), 1, "is not believed", "--cacert", f"127.0.0.1:{port}")
    refused(voxbus(d, "--cacert", "/nowhere", "publish", "q", "-d", "x"), 1, "/nowhere")
    refused(voxbus(d, "publish", "q", "-d", "x", "--url", f"http://127.0.0.1:{port}"), 1, "400", "https://")
    e = daemon({"admin": {"listen": f"127.0.0.1:{admin}", "tls": tls, "token_file": str(token)}}, wait=False)
    on = ("--url", f"https://127.0.0.1:{admin}", "--token-file", token)
    wait_until(lambda: voxbus(e, "--cacert", pki.ca, *on, "status").returncode == 0)
    assert fine(voxbus(e, "--insecure", *on, "queue", "list")) == "no queues\n"
    refused(voxbus(e, *on, "status"), 1, "is not believed", "--cacert")
    refused(voxbus(e, "--cacert", pki.ca, "--url", on[1], "queue", "list"), 1, "--token-file")
    e.expect_log("TLS refused")


class Scripted(http.server.BaseHTTPRequestHandler):
    """A daemon that leases: one message a poll, and a list of what it was asked."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        text = json.dumps([{"FormParams": {}, "Created": "2026-11-21T00:03:13.114436515Z", "Body": "kept", "Id": "a1"},
                           {"type": "StasisStart", "seq": 7}]).encode()
        self.answer(200, text)

    def do_DELETE(self):
        self.server.asked.append("DELETE " + self.path)
        self.answer(self.server.acks, b'{"detail":"not leased: a1"}' if self.server.acks == 404 else b"")

    def answer(self, status, body):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def leasing():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:
        server.asked, server.acks = [], 204
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_what_was_printed_is_acknowledged_and_nothing_else(leasing):
    env = harness.child_env(ACCOUNT)
    command = [str(VOXBUS), "poll", "q", "--url", f"http://127.0.0.1:{leasing.server_port}"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=20, check=False, env=env)
    assert done.returncode == 1 and b"the messages stay in q" in done.stderr, done.stderr
    ask = f"/{SID}/q?max=10&ack=manual&visibility=60s"
    assert leasing.asked == [ask], "it comes again: nobody has seen it"
    done = subprocess.run(command, capture_output=True, timeout=20, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b'00:03:13.114 kept\n{"type":"StasisStart","seq":7}\n'
    assert leasing.asked == [ask, ask, f"DELETE /{SID}/q?id=a1&id=7"]
    leasing.acks = 404
    done = subprocess.run(command, capture_output=True, timeout=20, check=False, env=env)
    assert done.returncode == 1 and b"q: printed too late: not leased: a1" in done.stderr, done.stderr
