# SPDX-License-Identifier: MIT
"""A real Asterisk behind TLS: calls by https and wss, and what happens when its certificate is not the right one."""
import pytest

from certificates import Certificates
from harness import applications

HTTP = """[general]
enabled=yes
bindaddr=127.0.0.1
bindport={http}
tlsenable=yes
tlsbindaddr=127.0.0.1:{https}
tlscertfile={certificate}
tlsprivatekey={key}
"""


@pytest.fixture
def pki(tmp_path):
    return Certificates(tmp_path)


@pytest.fixture
def https(asterisk, pki):
    """Its https url, while its http.conf has TLS."""
    conf = asterisk.dir / "etc" / "http.conf"
    plain, port = conf.read_text(), asterisk.portbase + 89
    pair = pki.issue("asterisk")
    conf.write_text(HTTP.format(http=asterisk.ari_port, https=port, certificate=pair.certificate, key=pair.key))
    asterisk.command("module reload http")
    yield f"https://127.0.0.1:{port}/ari"
    conf.write_text(plain)
    asterisk.command("module reload http")


def start(daemon, asterisk, url, **tls):
    engine = {**asterisk.engine("test"), "url": url, "tls": {k: str(v) for k, v in tls.items()}}
    return daemon({"engines": [engine], "applications": applications("test")})


def test_a_call_by_https_and_wss(daemon, asterisk, https, pki):
    d = start(daemon, asterisk, https, ca=pki.ca)
    d.wait_ready(20)
    for _ in range(3):
        asterisk.local("wait", "test", "a,b")
        dialog = d.pubsub().wait_dialog("test")
        cid = dialog.wait_event("StasisStart")["channel"]["id"]
        assert dialog.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
        assert dialog.command("POST", f"/channels/{cid}/variable?variable=x", {"value": "y" * 20000})["status_code"] == 204
        assert dialog.command("DELETE", f"/channels/{cid}")["status_code"] == 204
        dialog.wait_event("StasisEnd")
    d.stop()


def test_a_certificate_of_somebody_else_is_refused(daemon, asterisk, https, tmp_path):
    d = start(daemon, asterisk, https, ca=Certificates(tmp_path / "other").ca)
    d.expect_log("port failed")
    assert "TLS with Asterisk" in d.wait_log("port failed")["reason"]
    d.stop()


def test_an_https_url_of_a_plain_port_is_told(daemon, asterisk, https):
    d = start(daemon, asterisk, asterisk.url.replace("http:", "https:"))
    d.expect_log("port failed", "port lost")
    reason = d.wait_log("port lost", timeout=20)["reason"]
    assert asterisk.url.replace("http:", "https:") in reason
    d.stop()
