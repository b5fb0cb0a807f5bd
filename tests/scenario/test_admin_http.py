# SPDX-License-Identifier: MIT
"""The admin listener: health, readiness, metrics, status, calls, tail, and who may ask."""
import http.client
import json
import re
import socket
import threading
import time

import pytest

import harness
from ari_peer import stasis_end, stasis_start
from harness import applications, ari_engine, free_port, wait_until

MANUAL = harness.ROOT / "docs" / "manual" / "metrics.md"
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LABELS = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|\Z)')


def config(peer, *apps, **engine):
    apps = apps or ("hello",)
    return {"engines": [ari_engine(peer.url, *apps, **engine)], "applications": applications(*apps)}


def parse_metrics(text):
    """Prometheus text format 0.0.4, strictly: {family: (type, help, {labels: value})}."""
    families = {}
    current = None
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, _, about = line[7:].partition(" ")
            assert NAME.match(name) and name not in families and about, line
            current = families[name] = [None, about, {}]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert families[name] is current and current[0] is None and not current[2], line
            assert kind in ("counter", "gauge"), line
            current[0] = kind
        else:
            m = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9]+(?:\.[0-9]+)?)", line)
            assert m and families[m[1]] is current and current[0], line
            pairs = LABELS.findall(m[2] or "")
            assert ",".join(f'{k}="{v}"' for k, v in pairs) == (m[2] or ""), line
            assert len({k for k, _ in pairs}) == len(pairs), line
            key = tuple(sorted(pairs))
            assert key not in current[2], f"twice: {line}"
            assert current[0] == "gauge" or float(m[3]) >= 0, line
            current[2][key] = float(m[3])
    for name, (kind, _, samples) in families.items():
        assert samples and name.startswith("voxbus_")
        assert (kind == "counter") == name.endswith("_total"), name
    return families


def manual_metrics():
    """{name: type} of the tables in the manual."""
    rows = re.findall(r"^\| `(voxbus_\w+)` \| (\w+) \|", MANUAL.read_text(), re.M)
    assert len(rows) == len(dict(rows)), "a metric stands twice in the manual"
    return dict(rows)


class Tail:
    """GET /api/tail in a thread; .lines as they come."""

    def __init__(self, daemon, query=""):
        self.connection = harness.UnixConnection(daemon.admin_path, 30)
        self.connection.request("GET", "/api/tail" + query)
        self.answer = self.connection.getresponse()
        self.lines = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for line in self.answer:
                self.lines.append(json.loads(line))
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            pass

    def wait(self, **members):
        def found():
            return [m for m in self.lines if all(m.get(k) == v for k, v in members.items())]
        return wait_until(found, what=f"no {members} in {self.lines}")[0]

    def close(self):
        self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.connection.close()


def test_health_needs_only_the_loop(daemon):
    d = daemon()
    answer = d.admin("GET", "/healthz")
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert d.admin("HEAD", "/healthz").body == b""


def test_readiness_follows_the_link(ari_peer, daemon):
    d = daemon(config(ari_peer))
    d.expect_log("port lost", "port state")
    d.wait_ready()
    assert json.loads(d.admin("GET", "/readyz").body) == {"ready": True}
    ari_peer.down()
    wait_until(lambda: not d.ready(), 3)
    answer = d.admin("GET", "/readyz")
    body = json.loads(answer.body)
    assert answer.status == 503 and body["ready"] is False
    assert len(body["reasons"]) == 1 and body["reasons"][0].startswith("engine pbx1: down: "), body
    ari_peer.up()
    d.wait_ready(15)


def test_a_silent_link_is_not_ready_within_3_s(ari_peer, daemon):
    d = daemon(config(ari_peer))
    d.expect_log("port lost", "port state", "port stale")
    d.wait_ready()
    session = ari_peer.wait_session("hello")
    session.stall()
    since = time.monotonic()
    wait_until(lambda: not d.ready(), 4)
    assert time.monotonic() - since <= 3.0
    assert "engine pbx1: stale: " in json.loads(d.admin("GET", "/readyz").body)["reasons"][0]
    session.resume()
    d.wait_ready()


def test_metrics_are_valid_and_all_in_the_manual(ari_peer, amqp_peer, nats_peer, daemon):
    d = daemon({**config(ari_peer, "hello", "second"),
                "buses": [{"type": "longpoll", "name": "http"}, {"type": "amqp", "name": "mq", "url": amqp_peer.url},
                          {"type": "nats", "name": "main", "url": nats_peer.url}]})
    d.wait_ready()
    answer = d.admin("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = parse_metrics(answer.body.decode())
    assert {name: kind for name, (kind, _, _) in families.items()} == manual_metrics()
    assert families["voxbus_port_up"][2] == {
        (("port", "http"), ("type", "longpoll")): 1, (("port", "mq"), ("type", "amqp")): 1,
        (("port", "main"), ("type", "nats")): 1, (("port", "pbx1"), ("type", "asterisk")): 1}
    assert families["voxbus_process_resident_memory_bytes"][2][()] > 1e6
    assert abs(families["voxbus_process_start_time_seconds"][2][()] - time.time()) < 60
    assert families["voxbus_build_info"][2][(("node", "test"), ("version", "0.1.0"))] == 1


def test_metrics_count(ari_peer, daemon):
    d = daemon(config(ari_peer))
    session = ari_peer.wait_session("hello")
    d.wait_ready()
    session.send(stasis_start("c1", "hello"))
    wait_until(lambda: d.metrics()["voxbus_hub_dialogs"] == 1)
    m = d.metrics()
    assert m["voxbus_hub_dialogs_opened_total"] == 1
    assert m['voxbus_port_events_total{port="pbx1",type="asterisk"}'] == 1
    assert m['voxbus_application_announced_total{application="hello",bus="http"}'] == 1
    assert m['voxbus_application_unread{application="hello",bus="http"}'] == 1


def test_status_and_calls_show_a_call(ari_peer, daemon):
    d = daemon(config(ari_peer))
    session = ari_peer.wait_session("hello")
    d.wait_ready()
    assert json.loads(d.admin("GET", "/api/calls").body) == []
    session.send(stasis_start("c1", "hello"))
    call = wait_until(lambda: json.loads(d.admin("GET", "/api/calls").body))[0]
    assert (call["application"], call["engine"], call["channel"]) == ("hello", "pbx1", "c1")
    assert call["channels"] == 1 and call["age_s"] < 10
    answer = d.admin("GET", "/api/calls?limit=0")
    assert (answer.body, answer.headers["x-total-count"]) == (b"[]", "1")
    assert d.admin("GET", "/api/calls?limit=x").status == 400
    assert d.admin("GET", "/api/calls?limit=5001").status == 400
    status = json.loads(d.admin("GET", "/api/status").body)
    assert status["ready"] is True and status["reasons"] == [] and status["dialogs"] == 1
    assert {p["name"]: p["state"] for p in status["ports"]} == {"http": "up", "pbx1": "up"}
    assert status["applications"][0]["announced"] == 1
    assert status["journal"]["failed"] is False and status["http"]["requests"] == 0
    assert status["config"] == str(d.config_path) and status["uptime_s"] < 60


def test_tail_shows_what_passes(ari_peer, daemon):
    d = daemon(config(ari_peer))
    session = ari_peer.wait_session("hello")
    d.wait_ready()
    everything, starts = Tail(d), Tail(d, "?topic=hel%2A")
    session.send(stasis_start("c1", "hello"))
    event = everything.wait(kind="event", type="StasisStart")
    assert event["payload"]["channel"]["id"] == "c1"
    assert event["topic"] == f"events_{event['dialog']}" and event["size"] > 100
    assert starts.wait(kind="announce")["dialog"] == event["dialog"]
    dialog = d.pubsub().wait_dialog("hello")
    dialog.command("POST", "/channels/c1/answer")
    command = everything.wait(kind="command")
    assert (command["method"], command["target"]) == ("POST", "/channels/c1/answer")
    reply = everything.wait(kind="reply")
    assert reply["answers"] == command["seq"] and 200 <= reply["status"] < 300
    session.send(stasis_end("c1", "hello"))
    everything.wait(kind="event", type="StasisEnd")
    assert {m["topic"] for m in starts.lines} == {"hello"}
    assert d.metrics()["voxbus_tails"] == 2
    everything.close()
    wait_until(lambda: d.metrics()["voxbus_tails"] == 1)
    starts.close()


def test_tails_are_bounded_and_end_with_the_daemon(daemon):
    d = daemon()
    assert d.admin("GET", "/api/tail?topic=").status == 400
    assert d.admin("GET", "/api/tail?topic=" + "x" * 300).status == 400
    assert d.admin("HEAD", "/api/tail").status == 200
    tails = [Tail(d) for _ in range(16)]
    assert d.admin("GET", "/api/tail").status == 503
    since = time.monotonic()
    d.stop()
    assert time.monotonic() - since < 2
    for tail in tails:
        tail.thread.join(5)
        assert not tail.thread.is_alive()


@pytest.mark.limit(90)
def test_a_slow_tail_loses_and_is_told(ari_peer, daemon):
    d = daemon(config(ari_peer))
    d.wait_ready()
    ari_peer.wait_session("hello")
    connection = harness.UnixConnection(d.admin_path, 30)
    connection.request("GET", "/api/tail")
    answer = connection.getresponse()
    ari_peer.flood(events=8000, dialogs=20, ends=False)
    lost = wait_until(lambda: d.metrics()["voxbus_tail_lost_messages_total"], 60, "nothing is lost")
    told = read = 0
    while told == 0:
        line = json.loads(answer.readline())
        told += line.get("lost", 0)
        read += 1
    assert lost > 0 and read > 100
    assert d.admin("GET", "/healthz").status == 200
    connection.close()


def test_what_is_not_there_is_said(daemon):
    d = daemon()
    answer = d.admin("GET", "/api/nothing")
    assert answer.status == 404 and b"/api/status" in answer.body
    answer = d.admin("POST", "/api/status", b"{}")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def tcp(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    return harness.http_request(connection, "GET", path, None, headers)


def test_on_tcp_the_guard_is_on(daemon, tmp_path):
    port = free_port()
    token = "a-token-of-32-characters-or-more"
    (tmp_path / "token").write_text(token + "\n")
    d = daemon({"admin": {"listen": f"127.0.0.1:{port}", "token_file": str(tmp_path / "token")}}, wait=False)
    bearer = f"Bearer {token}"
    wait_until(lambda: answers(port), what=d.tail())
    for path in ("/healthz", "/readyz"):
        assert tcp(port, path).status == 200
    for path in ("/metrics", "/api/status", "/api/calls", "/api/doctor", "/api/tail", "/other"):
        answer = tcp(port, path)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="voxbus"')
        assert tcp(port, path, Authorization="Bearer " + token[:-1]).status == 401
        assert tcp(port, path, Authorization="Basic " + token).status == 401
    assert tcp(port, "/metrics", Authorization=bearer).status == 200
    assert tcp(port, "/metrics", Authorization=bearer, Host="evil.example").status == 403
    assert tcp(port, "/metrics", Authorization=bearer, Host=f"localhost:{port}").status == 200
    assert tcp(port, "/metrics", Authorization=bearer, Origin="http://evil.example").status == 403
    assert tcp(port, "/metrics", Authorization=bearer, Origin="null").status == 403
    assert tcp(port, "/metrics", Authorization=bearer, Origin=f"http://127.0.0.1:{port}").status == 200
    cli = harness.run_program(harness.VOXBUS, "--url", f"http://127.0.0.1:{port}", "status")
    assert cli.returncode == 1 and "--token-file" in cli.stderr
    cli = harness.run_program(harness.VOXBUS, "--url", f"http://127.0.0.1:{port}", "--token-file",
                              tmp_path / "token", "status")
    assert cli.returncode == 0, cli.stderr
    assert token not in d.output


def answers(port):
    try:
        return tcp(port, "/healthz").status == 200
    except OSError:
        return False
