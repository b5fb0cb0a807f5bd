# SPDX-License-Identifier: MIT
"""TLS of the real daemon: who is let in, whom it believes, certificates that change while it runs."""
import base64
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import harness
from ari_peer import AriPeer, stasis_end, stasis_start
from certificates import Certificates
from harness import SERVER, SID, TOKEN, applications, ari_engine, free_port, run_program, wait_until

BASIC = {"Authorization": "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()}


@pytest.fixture
def pki(tmp_path):
    return Certificates(tmp_path)


def tls_conf(pair, **more):
    return {"certificate": str(pair.certificate), "key": str(pair.key), **{k: str(v) for k, v in more.items()}}


def serve(daemon, pair, listen=(), config=None, client_ca=None):
    port = free_port()
    more = {"client_ca": client_ca} if client_ca else {}
    http_conf = {"listen": [f"127.0.0.1:{port}", *listen], "tls": tls_conf(pair, **more)}
    return daemon({"http": http_conf, **(config or {})}, http_port=port)


def get(d, target, context, headers=None):
    connection = http.client.HTTPSConnection("127.0.0.1", d.http_port, timeout=10, context=context)
    return harness.http_request(connection, "GET", target, None, headers)


def curl(*args):
    return run_program("curl", "-sS", "--max-time", "10", "--noproxy", "*", *args, timeout=15)


def shown(port, context):
    """The subject's name of the certificate that is shown to a new connection."""
    with socket.create_connection(("127.0.0.1", port), 10) as raw, \
            context.wrap_socket(raw, server_hostname="127.0.0.1") as s:
        return dict(part[0] for part in s.getpeercert()["subject"])["commonName"]


def status(d):
    return json.loads(d.cli("status", "--json").stdout)


# ---------------------------------------------------------------- server

def test_clients_of_all_kinds_get_through(daemon, pki):
    d = serve(daemon, pki.issue("server"))
    url = f"https://127.0.0.1:{d.http_port}/auth"
    assert get(d, "/auth", pki.client_context(), BASIC).status == 200
    good = curl("--cacert", pki.ca, "-u", f"{SID}:{TOKEN}", url)
    assert good.returncode == 0 and re.fullmatch(r"[0-9a-f-]{36}", good.stdout.strip())
    unknown = curl("-u", f"{SID}:{TOKEN}", url)
    assert unknown.returncode == 60, unknown
    believing = curl("-k", "-u", f"{SID}:{TOKEN}", url)
    assert believing.returncode == 0
    named = curl("--cacert", pki.ca, "--resolve", f"pbx.example.com:{d.http_port}:127.0.0.1",
                 f"https://pbx.example.com:{d.http_port}/auth")
    assert named.returncode == 60 and "subject name" in named.stderr
    for version, good in (("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        done = run_program("openssl", "s_client", "-connect", f"127.0.0.1:{d.http_port}", "-CAfile", pki.ca, version,
                           "-cipher", "DEFAULT@SECLEVEL=0", "-verify_return_error", timeout=15)
        assert (done.returncode == 0) == good, (version, done)
        assert ("alert protocol version" in done.stderr) == (not good)
    tls = status(d)["tls"]
    assert tls["subject"] == "/CN=server" and tls["handshakes"] >= 4 and tls["failed"] >= 2
    metrics = d.metrics()
    assert metrics["voxbus_tls_handshakes_total"] == tls["handshakes"]
    assert metrics["voxbus_tls_certificate_expiry_seconds"] > time.time() + 29 * 86400
    findings = json.loads(d.admin("GET", "/api/doctor").body)
    assert [f["level"] for f in findings if f["id"] == "certificate"] == ["ok"]


def test_queues_work_as_in_the_clear(daemon, pki):
    """A long poll through TLS is answered, and so is one whose client resumes its session."""
    d = serve(daemon, pki.issue("server"))
    context = pki.client_context()
    session = get(d, "/auth", context, BASIC).body.decode()
    got = []

    def poll():
        got.append(get(d, f"/{SID}/orders?timeout=10s&session={session}", context))

    poller = threading.Thread(target=poll)
    poller.start()
    time.sleep(0.2)
    connection = http.client.HTTPSConnection("127.0.0.1", d.http_port, timeout=10, context=context)
    answer = harness.http_request(connection, "POST", f"/{SID}/orders?session={session}", b"a=1",
                                  {"Content-Type": "application/x-www-form-urlencoded"})
    poller.join(10)
    assert answer.status in (200, 201, 202, 204) and json.loads(got[0].body)[0]["FormParams"] == {"a": "1"}
    big = json.dumps({"x": "y" * 60_000}).encode()
    connection = http.client.HTTPSConnection("127.0.0.1", d.http_port, timeout=10, context=context)
    for _ in range(20):
        connection.request("POST", f"/{SID}/large?session={session}", big, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status < 300, answer.read()
        answer.read()
    connection.close()
    assert len(get(d, f"/{SID}/large?timeout=1s&max=100&session={session}", context).body) > 1_000_000


def test_sessions_are_resumed(daemon, pki):
    d = serve(daemon, pki.issue("server"))
    context = pki.client_context()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.maximum_version = version
        session = None
        for resumed in (False, True):
            raw = socket.create_connection(("127.0.0.1", d.http_port), 10)
            with context.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert s.recv(65536).startswith(b"HTTP/1.1 404")
                assert s.session_reused == resumed, version
                session = s.session
    assert status(d)["tls"]["resumed"] == 2


def test_plain_and_tls_on_their_ports(daemon, pki):
    plain, tls = free_port(), free_port()
    pair = pki.issue("server")
    d = serve(daemon, pair, listen=[f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}"])
    assert curl(f"http://127.0.0.1:{plain}/auth").stdout
    for port in (tls, d.http_port):
        assert curl("--cacert", pki.ca, f"https://127.0.0.1:{port}/auth").returncode == 0
        wrong = curl("-i", f"http://127.0.0.1:{port}/auth")
        assert wrong.stdout.startswith("HTTP/1.1 400") and "speaks TLS" in wrong.stdout
    d.wait_log("TLS refused", reason="plain HTTP on a port that speaks TLS")
    assert curl("-k", f"https://127.0.0.1:{plain}/auth").returncode == 35
    assert "TLS" in d.wait_log("TLS on a plain port")["then"]


def test_clients_without_the_right_certificate_stay_outside(daemon, pki, tmp_path):
    d = serve(daemon, pki.issue("server"), client_ca=pki.ca)
    stranger = Certificates(tmp_path / "other").issue("stranger")
    context = pki.client_context(pki.issue("worker"))
    assert get(d, "/auth", context, BASIC).status == 200
    for pair in (None, stranger):
        with pytest.raises((ssl.SSLError, ConnectionError)) as refusal:
            get(d, "/auth", pki.client_context(pair), BASIC)
        assert "alert" in str(refusal.value).lower()
    d.wait_log("TLS refused")
    assert status(d)["tls"]["failed"] == 2


def test_half_open_handshakes_harm_nobody(daemon, pki):
    d = serve(daemon, pki.issue("server"))
    silent = [socket.create_connection(("127.0.0.1", d.http_port), 10) for _ in range(200)]
    for s in silent[::2]:
        s.sendall(b"\x16\x03\x01\x02\x00\x01")
    before = time.monotonic()
    assert get(d, "/auth", pki.client_context(), BASIC).status == 200
    assert time.monotonic() - before < 2
    for s in silent:
        s.settimeout(15)
        assert s.recv(10) == b""
        s.close()
    assert 8 < time.monotonic() - before < 14
    assert status(d)["tls"]["failed"] == 200


def test_certificates_change_under_way(daemon, pki):
    pair = pki.issue("one")
    d = serve(daemon, pair)
    context = pki.client_context()
    held = http.client.HTTPSConnection("127.0.0.1", d.http_port, timeout=10, context=context)
    held.request("GET", "/auth", headers=BASIC)
    assert held.getresponse().read()
    pki.issue("two", into=pair)
    assert shown(d.http_port, context) == "one"
    d.process.send_signal(signal.SIGHUP)
    assert d.wait_log("TLS files taken")["subject"] == "/CN=two"
    assert shown(d.http_port, context) == "two"
    held.request("GET", "/auth", headers=BASIC)
    assert held.getresponse().status == 200
    held.close()
    # A key that does not fit: said, and nothing changes.
    d.expect_log("TLS files not taken")
    pair.key.write_bytes(pki.issue("three").key.read_bytes())
    d.process.send_signal(signal.SIGHUP)
    assert f"key {pair.key} does not belong to certificate {pair.certificate}" in \
        d.wait_log("TLS files not taken")["problem"]
    assert shown(d.http_port, context) == "two"
    assert status(d)["tls"]["reload_failures"] == 1
    pair.key.unlink()
    d.process.send_signal(signal.SIGHUP)
    assert "No such file" in d.wait_log("TLS files not taken", count=2)["problem"]
    pki.issue("four", into=pair)
    d.process.send_signal(signal.SIGHUP)
    d.wait_log("TLS files taken", count=2)
    assert shown(d.http_port, context) == "four"


def test_an_expiring_certificate_is_told(daemon, pki):
    d = serve(daemon, pki.issue("server", days=13))
    d.expect_log("certificate needs care")
    assert "expires on" in d.wait_log("certificate needs care")["problem"]
    findings = json.loads(d.admin("GET", "/api/doctor").body)
    assert [f["level"] for f in findings if f["id"] == "certificate"] == ["warn"]
    assert "certificate" in d.cli("doctor").stdout


def test_the_admin_listener_speaks_it_too(daemon, pki, tmp_path):
    token, port = tmp_path / "token", free_port()
    token.write_text("0123456789abcdef0123\n")
    admin = {"listen": f"https://127.0.0.1:{port}", "token_file": str(token), "tls": tls_conf(pki.issue("server"))}
    d = daemon({"admin": admin}, wait=False)
    context = pki.client_context()

    def answer(target, headers=None):
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        return harness.http_request(connection, "GET", target, None, headers)

    def healthy():
        try:
            return answer("/healthz").status == 200
        except OSError:
            return False

    wait_until(healthy)
    assert answer("/api/status").status == 401
    assert answer("/api/status", {"Authorization": "Bearer 0123456789abcdef0123"}).status == 200
    assert d.alive()


# ---------------------------------------------------------------- --check

def check(tmp_path, config):
    path = tmp_path / "voxbus.yaml"
    path.write_text(json.dumps({"node": "x", "data_dir": str(tmp_path / "d"), **config}))
    return run_program(harness.VOXBUSD, "-c", path, "--check")


def test_check_finds_what_is_wrong_with_files(pki, tmp_path):
    good, other = pki.issue("server"), pki.issue("other")
    old = pki.issue("old", days=-1)
    cases = [
        ({}, 0, ""),
        ({"certificate": "/nosuch/c.pem"}, 2, "certificate /nosuch/c.pem can't be read: No such file or directory: "),
        ({"key": "/nosuch/k.pem"}, 2, "key /nosuch/k.pem can't be read: No such file or directory: give the path"),
        ({"key": other.key}, 2, f"key {other.key} does not belong to certificate {good.certificate}: give the two"),
        ({"certificate": good.key}, 2, "holds no certificate: it must be in PEM form"),
        ({"client_ca": "/nosuch/ca.pem"}, 2, "client_ca /nosuch/ca.pem can't be read"),
        ({"certificate": old.certificate, "key": old.key}, 2, f"certificate {old.certificate} expired on 20"),
    ]
    for change, code, says in cases:
        conf = {**tls_conf(good), **{k: str(v) for k, v in change.items()}}
        done = check(tmp_path, {"http": {"listen": ["127.0.0.1:0"], "tls": conf}})
        assert done.returncode == code and says in done.stderr, (change, done)
        assert done.stderr.count("\n") == (1 if code else 0)
        if code:
            assert done.stderr.startswith(f"{tmp_path}/voxbus.yaml: http.tls: ")
    good.key.chmod(0o644)
    done = check(tmp_path, {"http": {"listen": ["127.0.0.1:0"], "tls": tls_conf(good)}})
    assert done.returncode == 0 and "may be read by everybody" in done.stdout
    engine = ari_engine("https://127.0.0.1:1/ari", "hello", tls={"ca": "/nosuch/ca.pem"})
    config = {"engines": [engine], "applications": applications("hello"), "buses": [{"type": "longpoll", "name": "http"}]}
    done = check(tmp_path, config)
    assert done.returncode == 2 and 'engine "pbx1": tls: ca /nosuch/ca.pem can\'t be read' in done.stderr
    engine["tls"] = {"verify": "off"}
    done = check(tmp_path, config)
    assert done.returncode == 0 and "verify is off" in done.stdout


# ---------------------------------------------------------------- client

def engine_config(peer, **tls):
    tls = {k: v if isinstance(v, str) else str(v) for k, v in tls.items()}
    return {"engines": [ari_engine(peer.url, "hello", tls=tls)], "applications": applications("hello")}


def call_works(d, send):
    send(stasis_start("c1", "hello", ["a"]))
    dialog = d.pubsub().wait_dialog("hello")
    assert dialog.wait_event("StasisStart")["channel"]["id"] == "c1"
    assert dialog.command("POST", "/channels/c1/answer")["status_code"] == 204
    send(stasis_end("c1", "hello"))
    dialog.wait_event("StasisEnd")


def test_asterisk_is_driven_through_tls(daemon, pki):
    with AriPeer(tls=pki.server_context(pki.issue("asterisk"))) as peer:
        d = daemon(engine_config(peer, ca=pki.ca))
        d.wait_ready()
        call_works(d, lambda message: peer.wait_session("hello").send(message))
        # And again after a gap.
        d.expect_log("port lost")
        peer.down()
        d.wait_log("port lost")
        peer.up()
        d.wait_ready()
        d.stop()


def test_asterisk_that_shows_the_wrong_certificate_is_not_believed(daemon, pki, tmp_path):
    cases = [
        (pki.issue("a", signed=False), {"ca": pki.ca}, "self-signed certificate"),
        (pki.issue("b", hosts="DNS:elsewhere.example.com"), {"ca": pki.ca}, "IP address mismatch"),
        (pki.issue("c", days=-1), {"ca": pki.ca}, "certificate has expired"),
        (pki.issue("d"), {"ca": Certificates(tmp_path / "other").ca}, "unable to get local issuer certificate"),
        (pki.issue("e"), {}, "certificate"),  # the system's store does not have it
        (pki.issue("f"), {"ca": pki.ca, "server_name": "pbx.example.com"}, "hostname mismatch"),
    ]
    for pair, tls, says in cases:
        with AriPeer(tls=pki.server_context(pair)) as peer:
            d = daemon(engine_config(peer, **tls))
            d.expect_log("port failed")
            reason = d.wait_log("port failed")["reason"]
            assert says in reason and peer.url in reason and "TLS with Asterisk" in reason, reason
            assert not peer.handshakes
            assert "asterisk-tls" in [f["id"] for f in json.loads(d.admin("GET", "/api/doctor").body)
                                      if f["level"] == "fail"]
            d.stop()


def test_verification_can_be_turned_off_and_that_is_said(daemon, pki):
    with AriPeer(tls=pki.server_context(pki.issue("x", signed=False, hosts="DNS:elsewhere"))) as peer:
        d = daemon(engine_config(peer, verify="off"))
        d.expect_log("certificate not verified")
        d.wait_ready()
        assert d.events("certificate not verified")
        d.stop()


def test_a_certificate_is_shown_to_asterisk(daemon, pki):
    context = pki.server_context(pki.issue("asterisk"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pki.ca)
    pair = pki.issue("voxbus")
    with AriPeer(tls=context) as peer:
        d = daemon(engine_config(peer, ca=pki.ca, certificate=pair.certificate, key=pair.key))
        d.wait_ready()
        call_works(d, lambda message: peer.wait_session("hello").send(message))
        d.stop()


def test_a_plain_asterisk_behind_an_https_url_is_told(daemon):
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer():
            while True:
                try:
                    s = server.accept()[0]
                except OSError:
                    return
                s.recv(4096)
                s.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                s.close()

        threading.Thread(target=answer, daemon=True).start()
        engine = ari_engine(f"https://127.0.0.1:{server.getsockname()[1]}/ari", "hello")
        d = daemon({"engines": [engine], "applications": applications("hello")})
        d.expect_log("port lost")
        reason = d.wait_log("port lost")["reason"]
        assert "TLS with Asterisk" in reason and "wrong version number" in reason and "tlsbindaddr" in reason
        d.stop()
        server.shutdown(socket.SHUT_RDWR)


def test_asterisk_dials_through_tls(daemon, pki):
    with AriPeer(dial_tls=pki.client_context()) as peer:
        d = serve(daemon, pki.issue("server"),
                  config={"engines": [ari_engine(peer.url, "hello", **SERVER)], "applications": applications("hello")})
        dialler = peer.dial(d.http_port, "hello")
        d.wait_ready()
        context = pki.client_context()
        dialler.send(stasis_start("c1", "hello", ["a"]))
        session = get(d, "/auth", context, BASIC).body.decode()
        got = json.loads(get(d, f"/{SID}/hello?timeout=5s&session={session}", context).body)
        assert got[0]["application"] == "hello"
        d.stop()
