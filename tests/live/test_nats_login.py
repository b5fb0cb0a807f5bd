# SPDX-License-Identifier: MIT
"""How voxbus proves itself to a real nats-server, and what it says when it is not believed."""
import json
import subprocess

import pytest

from ari_peer import stasis_start
from certificates import Certificates
from harness import applications, ari_engine, free_port, wait_until
from nats_server import NatsClient, NatsServer, credentials

SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def start(daemon, peer, url, wait=True, **more):
    d = daemon({"engines": [ari_engine(peer.url, "hello")],
                "buses": [{"type": "nats", "name": "main", "url": url, **more}],
                "applications": applications("hello", bus="main")})
    if wait:
        d.wait_ready()
    return d


def one_call(peer, worker):
    """Both ways: a call comes out, a command goes in."""
    worker.tell("work", application="hello")
    peer.wait_session("hello").send(stasis_start("c1", "hello"))
    dialog = worker.next("hello")["dialog_id"]
    assert worker.event(dialog, "StasisStart")
    peer.answer("POST", "/channels/c1/answer", 204, None)
    assert worker.command(dialog, "POST", "/channels/c1/answer")["status_code"] == 204


def refused(d, *words):
    line = d.wait_log("port failed")
    assert line["state"] == "failed" and all(word in line["reason"] for word in words), line
    assert not d.ready()
    assert "hush-hush" not in d.output


@pytest.mark.nats('authorization {user: joe, password: "hush-hush:@/"}')
def test_user_and_password_in_the_url(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server.url("joe:hush-hush%3A%40%2f"))
    one_call(ari_peer, nats_client(user="joe", **{"pass": "hush-hush:@/"}))
    assert "hush-hush" not in d.output and "hush-hush" not in d.cli("--json", "status").stdout


@pytest.mark.nats('authorization {user: joe, password: "hush-hush-right"}')
def test_wrong_password_is_said_and_tried_slowly(daemon, ari_peer, nats_server):
    d = start(daemon, ari_peer, nats_server.url("joe:hush-hush-wrong"), wait=False)
    d.expect_log("port failed")
    refused(d, "does not accept our login", "Authorization Violation")
    wait_until(lambda: "authentication error" in nats_server.output(), 5)
    assert nats_server.output().count("authentication error") == 1


@pytest.mark.nats('authorization {token: "hush-hush"}')
@pytest.mark.parametrize("where", ["url", "token"])
def test_token(daemon, ari_peer, nats_server, nats_client, where):
    if where == "url":
        d = start(daemon, ari_peer, nats_server.url("hush-hush"))
    else:
        d = start(daemon, ari_peer, nats_server.url(), token="hush-hush")
    one_call(ari_peer, nats_client(token="hush-hush"))
    assert "hush-hush" not in d.output


@pytest.mark.nats(f"authorization {{users: [{{nkey: {PUBLIC}}}]}}")
def test_nkey(daemon, ari_peer, nats_server, nats_client):
    seed = nats_server.dir / "user.nk"
    seed.write_text(SEED + "\n")
    d = start(daemon, ari_peer, nats_server.url(), nkey=str(seed))
    one_call(ari_peer, nats_client(seed=SEED))
    assert SEED not in d.output


@pytest.mark.nats(f"authorization {{users: [{{nkey: {PUBLIC}}}]}}")
def test_nkey_file_that_is_none_is_named(daemon, ari_peer, nats_server):
    d = start(daemon, ari_peer, nats_server.url(), wait=False, nkey=str(nats_server.dir / "absent"))
    d.expect_log("port failed")
    refused(d, f"nkey {nats_server.dir}/absent can't be read")


@pytest.fixture
def pki(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def tls_server(request, pki, time_limit):
    """A nats-server with a certificate; with @pytest.mark.parametrize("hosts", ...) for those hosts."""
    pair = pki.issue("server", hosts=getattr(request, "param", "DNS:localhost,IP:127.0.0.1"))
    verify = f", ca_file: \"{pki.ca}\", verify: true" if "client_certificate" in request.node.name else ""
    s = NatsServer(f'tls {{cert_file: "{pair.certificate}", key_file: "{pair.key}"{verify}}}')
    try:
        yield s.start()
    finally:
        s.clean()


def tls_client(server, pki, **more):
    return NatsClient(server.port, tls={"caFile": str(pki.ca), **more})


def test_tls(daemon, ari_peer, tls_server, pki):
    d = start(daemon, ari_peer, tls_server.url(scheme="tls"), tls={"ca": str(pki.ca)})
    client = tls_client(tls_server, pki)
    one_call(ari_peer, client)
    client.clean()
    d.stop()


def test_tls_with_a_client_certificate(daemon, ari_peer, tls_server, pki):
    ours = pki.issue("voxbus")
    d = start(daemon, ari_peer, tls_server.url(scheme="tls"),
              tls={"ca": str(pki.ca), "certificate": str(ours.certificate), "key": str(ours.key)})
    client = tls_client(tls_server, pki, certFile=str(ours.certificate), keyFile=str(ours.key))
    one_call(ari_peer, client)
    client.clean()
    d.stop()


def test_tls_of_an_unknown_authority_is_refused(daemon, ari_peer, tls_server, pki, tmp_path):
    stranger = Certificates(tmp_path / "stranger")
    d = start(daemon, ari_peer, tls_server.url(scheme="tls"), wait=False, tls={"ca": str(stranger.ca)})
    d.expect_log("port failed")
    refused(d, "no agreement with", "issuer certificate")
    d.stop()


def test_tls_without_ca_believes_the_system_alone(daemon, ari_peer, tls_server, pki):
    d = start(daemon, ari_peer, tls_server.url(scheme="tls"), wait=False)
    d.expect_log("port failed")
    refused(d, "no agreement with", "issuer certificate")
    d.stop()


def test_tls_without_ca_believes_the_system(daemon, ari_peer, tls_server, pki):
    d = daemon({"engines": [ari_engine(ari_peer.url, "hello")],
                "buses": [{"type": "nats", "name": "main", "url": tls_server.url(scheme="tls")}],
                "applications": applications("hello", bus="main")}, env={"SSL_CERT_FILE": str(pki.ca)})
    d.wait_ready()
    d.stop()


@pytest.mark.parametrize("tls_server", ["DNS:elsewhere.example.com"], indirect=True)
def test_tls_of_another_host_is_refused_unless_named(daemon, ari_peer, tls_server, pki):
    d = start(daemon, ari_peer, tls_server.url(scheme="tls"), wait=False, tls={"ca": str(pki.ca)})
    d.expect_log("port failed")
    refused(d, "no agreement with")
    d.stop()
    d = start(daemon, ari_peer, tls_server.url(scheme="tls"),
              tls={"ca": str(pki.ca), "server_name": "elsewhere.example.com"})
    d.stop()
    d = start(daemon, ari_peer, tls_server.url(scheme="tls"), tls={"verify": False})
    d.stop()


def test_plain_link_to_a_server_that_wants_tls_says_so(daemon, ari_peer, tls_server):
    d = start(daemon, ari_peer, tls_server.url(), wait=False)
    d.expect_log("port failed")
    refused(d, "no agreement with")
    d.stop()


@pytest.mark.nats("authorization {users: [{user: joe, password: pw, permissions: {subscribe: {allow: [\"_INBOX.>\"]}}}]}")
def test_what_the_server_does_not_permit_is_in_the_log(daemon, ari_peer, nats_server, nats_client):
    d = start(daemon, ari_peer, nats_server.url("joe:pw"))
    d.expect_log("server complains")
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    line = d.wait_log("server complains")
    assert "Permissions Violation" in line["text"] and "commands_" in line["text"], line


def test_connection_has_our_name(daemon, ari_peer, time_limit):
    monitor = free_port()
    server = NatsServer(f"http: 127.0.0.1:{monitor}").start()
    try:
        d = start(daemon, ari_peer, server.url())
        got = json.loads(subprocess.run(["curl", "-s", f"http://127.0.0.1:{monitor}/connz"], capture_output=True,
                                        check=True).stdout)
        assert [c["name"] for c in got["connections"]] == ["voxbus/test/main"]
        d.stop()
    finally:
        server.clean()


@pytest.fixture
def account(time_limit):
    """A nats-server whose users are known by JWTs, and the credentials file of one."""
    made = credentials()
    server = NatsServer(made["server"])
    file = server.dir / "user.creds"
    file.write_text(made["creds"])
    try:
        yield server.start(), file
    finally:
        server.clean()


def test_credentials(daemon, ari_peer, account):
    server, file = account
    d = start(daemon, ari_peer, server.url(), credentials=str(file))
    client = NatsClient(server.port, creds=str(file))
    one_call(ari_peer, client)
    client.clean()
    d.stop()
    assert "SEED" not in d.output and file.read_text().split("\n")[1] not in d.output


def test_credentials_of_somebody_else(daemon, ari_peer, account):
    server, file = account
    file.write_text(credentials()["creds"])
    d = start(daemon, ari_peer, server.url(), wait=False, credentials=str(file))
    d.expect_log("port failed")
    refused(d, "does not accept our login")
    d.stop()


def test_credentials_file_that_is_not_there_is_named(daemon, ari_peer, account):
    server, file = account
    d = start(daemon, ari_peer, server.url(), wait=False, credentials=str(file) + "x")
    d.expect_log("port failed")
    refused(d, str(file) + "x")
    d.stop()
