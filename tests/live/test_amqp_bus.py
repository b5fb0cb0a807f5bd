# SPDX-License-Identifier: MIT
"""The AMQP bus at a real RabbitMQ, with pika as the application: what go-ari-proxy's clients see, and what they don't lose."""
import json
import re
import shlex
import signal
import time

import pika
import pytest

from amqp_app import AmqpApp, bus, tls_parameters
from ari_peer import event, stasis_end, stasis_start
from certificates import Certificates
from harness import ROOT, applications, ari_engine, free_port
from rabbitmq import RabbitMQ

QUEUES = ("events", "responses", "commands")
TLS = """listeners.ssl.default = 127.0.0.1:{port}
ssl_options.cacertfile = {ca}
ssl_options.certfile = {pair.certificate}
ssl_options.keyfile = {pair.key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
ssl_cert_login_from = common_name
"""


@pytest.fixture
def start(daemon, ari_peer, rabbitmq):
    """start(**keys of the bus) -> daemon, with a scripted Asterisk behind and a RabbitMQ before it."""
    def begin(**more):
        d = daemon({"engines": [ari_engine(ari_peer.url, "hello")], "buses": [bus(rabbitmq.url(), **more)],
                    "applications": applications("hello", bus="rabbit")})
        d.wait_ready(20)
        ari_peer.wait_session("hello")
        return d
    return begin


@pytest.fixture
def app(rabbitmq):
    a = AmqpApp(rabbitmq.url(), "hello")
    a.channel.queue_purge("hello")
    yield a
    a.close()


def dial(*ids, text=""):
    """An event that names channels."""
    return event("Dial", "hello", peer={"id": ids[0]}, dialstatus=text)


def numbers(call):
    return [e["seq"] for e in call.events]


def test_a_call_is_what_go_ari_proxys_clients_expect(start, app, ari_peer):
    d = start()
    session = ari_peer.wait_session("hello")
    frame = '{"type":"StasisStart","args":["<&>"],"channel":{"id":"c1","x":"\u2028\\u00e4"},"application":"hello"}'
    session.send(frame)
    call = app.wait_call()
    assert call.raw_start.decode() == f'{{"application":"hello","dialog_id":"{call.id}","server_id":"test","seq":1}}'
    call.wait_event("StasisStart")
    body, properties, method = call.raw[0]
    go = json.dumps(frame, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    go = go.replace("\u2028", "\\u2028")
    stamp = json.loads(body)["timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", stamp)
    assert body.decode() == (f'{{"server_id":"test","timestamp":"{stamp}","type":"StasisStart","ari_body":{go},'
                             f'"dialog_id":"{call.id}","application":"hello","seq":1}}')
    assert (method.exchange, method.routing_key, method.redelivered) == ("", f"events_{call.id}", False)
    assert vars(properties) == vars(pika.BasicProperties("application/json", headers={}, delivery_mode=1, priority=0))
    assert call.command("POST", "/channels/c1/answer")["status_code"] == 204
    assert ari_peer.wait_request("POST", "/channels/c1/answer").body == b"{}"
    # The DUMMY had no response; a command's keys are matched without case.
    app.publish(call.queue("commands"), '{"UNIQUE_ID":"","Url":"/channels/c1/ring","METHOD":"POST","body":""}')
    app.until(lambda: len(call.responses) == 2)
    assert [r["unique_id"] for r in call.responses][1] == ""
    metrics = d.metrics()
    assert metrics['voxbus_amqp_dummies_total{port="rabbit",type="amqp"}'] == 1


def test_events_of_many_calls_come_in_order_and_all(start, app, ari_peer):
    start()
    session = ari_peer.wait_session("hello")
    ids = [f"c{i}" for i in range(40)]
    session.send(*[stasis_start(c, "hello") for c in ids])
    app.until(lambda: len(app.starts) == len(ids))
    for n in range(50):
        session.send(*[dial(c, text=str(n)) for c in ids])
    session.send(*[stasis_end(c, "hello") for c in ids])
    app.until(lambda: all(len(c.events) == 52 for c in app.starts), 40)
    for call in app.starts:
        assert numbers(call) == list(range(1, 53))
        assert [json.loads(e["ari_body"])["dialstatus"] for e in call.events[1:-1]] == [str(n) for n in range(50)]


def test_what_was_delivered_to_one_that_died_is_redelivered_and_done_once(start, app, ari_peer, rabbitmq):
    d = start()
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    call = app.wait_call()
    call.wait_event("StasisStart")
    d.process.send_signal(signal.SIGSTOP)  # RabbitMQ delivers into its socket
    ids = [call.send("POST", f"/channels/c1/ring?n={n}", unique_id="") for n in range(3)]
    app.pump(1)
    d.kill()
    rabbitmq.freeze()  # until Asterisk is there: a command that comes before it is answered 503
    try:
        ups = len(d.events("port up", port="pbx1"))
        d.start()
        d.wait_log("port up", count=ups + 1, port="pbx1")
    finally:
        rabbitmq.thaw()
    d.wait_ready(20)
    app.until(lambda: len(call.responses) == len(ids))
    assert [r["status_code"] for r in call.responses] == [204] * 3
    assert [r.query["n"] for r in ari_peer.requests if r.path == "/channels/c1/ring"] == ["0", "1", "2"]
    assert d.metrics()['voxbus_amqp_redelivered_total{port="rabbit",type="amqp"}'] == 3


def test_a_command_without_an_answer_is_not_done_again_after_a_kill(start, app, ari_peer):
    d = start()
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    call = app.wait_call()
    assert call.command("POST", "/channels/c1/answer")["status_code"] == 204
    ari_peer.rest_delay = 1
    first = call.send("POST", "/channels/c1/ring", unique_id="r1")
    ari_peer.wait_request("POST", "/channels/c1/ring")
    d.kill()  # the command is recorded, its answer is not; perhaps it is not acknowledged
    ari_peer.rest_delay = 0
    d.start()
    d.wait_ready(20)
    answer = call.response(first)
    assert answer["status_code"] == 504
    time.sleep(0.5)
    assert len([r for r in ari_peer.requests if r.path == "/channels/c1/ring"]) == 1
    # The call goes on, with the numbers that follow.
    ari_peer.wait_session("hello").send(stasis_end("c1", "hello"))
    call.wait_event("StasisEnd")
    assert sorted(set(numbers(call))) == list(range(1, len(set(numbers(call))) + 1))


@pytest.mark.limit(150)
def test_a_broker_that_is_killed_in_mid_call_loses_nothing(start, app, ari_peer, rabbitmq):
    d = start(persistent=True)
    session = ari_peer.wait_session("hello")
    ids = [f"c{i}" for i in range(20)]
    session.send(*[stasis_start(c, "hello") for c in ids])
    app.until(lambda: len(app.starts) == len(ids))
    d.expect_log("port lost", "port failed", "channel closed")
    sent = 0
    for _ in range(10):
        session.send(*[dial(c) for c in ids])
        sent += 1
    rabbitmq.kill()
    for _ in range(10):
        session.send(*[dial(c) for c in ids])
        sent += 1
        time.sleep(0.05)
    session.send(stasis_start("late", "hello"))
    rabbitmq.start()
    app.connect()
    d.wait_ready(40)
    session.send(*[dial(c) for c in ids])
    sent += 1
    app.until(lambda: len(app.starts) == len(ids) + 1)
    early = app.starts[:len(ids)]
    app.until(lambda: all(len(set(numbers(c))) == 1 + sent for c in early), 40,
              f"lost: {[len(set(numbers(c))) for c in early]}, must be {1 + sent}")
    for call in early:
        newest = 0
        for n in numbers(call):  # again, perhaps; but never before its time
            assert n <= newest + 1, numbers(call)
            newest = max(newest, n)
    assert early[0].command("POST", "/channels/c0/answer")["status_code"] == 204


@pytest.mark.limit(120)
def test_a_frozen_broker_is_noticed_and_goes_on(start, app, ari_peer, rabbitmq):
    d = start(heartbeat="1s")
    session = ari_peer.wait_session("hello")
    session.send(stasis_start("c1", "hello"))
    call = app.wait_call()
    call.wait_event("StasisStart")
    d.expect_log("port lost")
    rabbitmq.freeze()
    try:
        session.send(*[dial("c1", text="x" * 5000)] * 2000)
        assert "frozen" in d.wait_log("port lost", state="down", timeout=20)["reason"]
        began = time.monotonic()
        assert d.admin("GET", "/api/status").status == 200 and time.monotonic() - began < 0.5
    finally:
        rabbitmq.thaw()
    d.wait_ready(40)
    app.until(lambda: len(set(numbers(call))) == 2001, 60)
    newest = 0
    for n in numbers(call):
        assert n <= newest + 1
        newest = max(newest, n)


@pytest.mark.limit(120)
def test_queues_are_gone_after_the_grace(start, app, ari_peer):
    d = start(queue_grace="1s", queue_sweep="5s", queue_age_max="15s")
    session = ari_peer.wait_session("hello")
    session.send(*[stasis_start(f"c{i}", "hello") for i in range(20)])
    app.until(lambda: len(app.starts) == 20)
    lives, unread = app.wait_call(), app.starts[1]
    ended = app.starts[1:]
    for call in ended:
        call.wait_event("StasisStart")
    unread.detach()
    names = {c.id: json.loads(c.events[0]["ari_body"])["channel"]["id"] for c in app.starts}
    session.send(*[stasis_end(names[c.id], "hello") for c in ended])
    for call in ended[1:]:
        call.wait_event("StasisEnd")
        call.detach()

    def there(calls):
        return [call.queue(kind) for call in calls for kind in QUEUES if app.counts(call.queue(kind))]
    app.until(lambda: not there(ended[1:]), 40, "queues are left")
    late = ended[1]
    app.channel.queue_declare(late.queue("responses"), durable=True)
    assert there([late])
    app.until(lambda: not there([late]), 20, "the late one is left")
    # Not read: it stays until it is old; the one that lives stays.
    assert there([unread]) == [unread.queue("events")]
    d.expect_log("queue deleted unread")
    app.until(lambda: not there([unread]), 30)
    assert len(there([lives])) == 3
    metrics = d.metrics()
    assert metrics['voxbus_amqp_queues_deleted_total{port="rabbit",type="amqp"}'] >= 57
    assert metrics['voxbus_amqp_queues_aged_total{port="rabbit",type="amqp"}'] == 1
    assert not d.events("channel closed")


def test_a_queue_that_is_deleted_under_a_call_is_made_again(start, app, ari_peer):
    d = start()
    session = ari_peer.wait_session("hello")
    session.send(stasis_start("c1", "hello"))
    call = app.wait_call()
    call.wait_event("StasisStart")
    call.detach()
    d.expect_log("consumer cancelled")
    for kind in QUEUES:
        app.channel.queue_delete(call.queue(kind))
    session.send(*[dial("c1", text=str(n)) for n in range(50)])
    app.until(lambda: (app.counts(call.queue("events")) or (0,))[0] == 50)
    call.attach()
    app.until(lambda: len(call.events) == 51)
    assert numbers(call) == list(range(1, 52))
    assert call.command("POST", "/channels/c1/answer")["status_code"] == 204


def test_a_queue_of_other_flags_is_used_as_it_is(start, app, ari_peer):
    app.channel.queue_delete("hello")
    app.channel.queue_declare("hello", durable=True, arguments={"x-max-length": 1000})
    app.channel.basic_consume("hello", app._started)
    d = start()
    d.expect_log("channel closed", "queue refused")
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    app.wait_call().wait_event("StasisStart")
    assert "inequivalent" in d.wait_log("queue refused")["reason"]
    app.channel.queue_delete("hello")


@pytest.mark.limit(120)
def test_tls_and_a_certificate_that_says_who_we_are(daemon, ari_peer, tmp_path):
    pki = Certificates(tmp_path)
    port, server, ours = free_port(), pki.issue("broker"), pki.issue("guest")
    broker = RabbitMQ(TLS.format(port=port, ca=pki.ca, pair=server), ["rabbitmq_auth_mechanism_ssl"])
    try:
        broker.start()
        tls = {"ca": str(pki.ca), "certificate": str(ours.certificate), "key": str(ours.key)}
        for url in (f"amqps://localhost:{port}/?auth_mechanism=external", f"amqps://guest:guest@127.0.0.1:{port}/"):
            d = daemon({"engines": [ari_engine(ari_peer.url, "hello")], "buses": [bus(url, tls=tls)],
                        "applications": applications("hello", bus="rabbit")})
            d.wait_ready(20)
            context = pki.client_context(ours)
            app = AmqpApp(tls_parameters(port, context, credentials=pika.PlainCredentials("guest", "guest")), "hello")
            ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
            call = app.wait_call()
            call.wait_event("StasisStart")
            assert call.command("POST", "/channels/c1/answer", {"x": "y" * 100000})["status_code"] == 204
            app.close()
            d.stop()
        # Somebody else's authority.
        d = daemon({"engines": [ari_engine(ari_peer.url, "hello")],
                    "buses": [bus(url, tls={"ca": str(Certificates(tmp_path / "other").ca)})],
                    "applications": applications("hello", bus="rabbit")})
        d.expect_log("port failed")
        assert "TLS with the broker" in d.wait_log("port failed")["reason"]
        d.stop()
    finally:
        broker.clean()


@pytest.mark.limit(90)
def test_a_broker_short_of_memory_gets_everything_when_it_has_room(start, app, ari_peer, rabbitmq):
    d = start()
    session = ari_peer.wait_session("hello")
    session.send(stasis_start("c1", "hello"))
    call = app.wait_call()
    call.wait_event("StasisStart")
    sent = call.send("POST", "/channels/c1/answer")
    call.response(sent)
    d.expect_log("port lost")
    rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        deadline, count = time.monotonic() + 20, 0
        while not d.events("port lost") and time.monotonic() < deadline:
            session.send(dial("c1"))
            count += 1
            app.pump(0.05)
        assert "blocks publishers" in d.wait_log("port lost", state="stale")["reason"]
        assert not d.ready()
        before = len(call.events)
        session.send(*[dial("c1") for _ in range(500)])
        app.pump(1)
        assert len(call.events) <= before + 1
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    d.wait_ready(20)
    app.until(lambda: len(call.events) == 1 + count + 500)
    assert numbers(call) == list(range(1, len(call.events) + 1))
    assert d.metrics()['voxbus_amqp_reconnects_total{port="rabbit",type="amqp"}'] == 0


@pytest.mark.limit(90)
def test_the_user_of_the_manual_may_do_what_voxbus_does(daemon, app, ari_peer, rabbitmq):
    text = (ROOT / "docs" / "manual" / "amqp.md").read_text(encoding="utf-8")
    lines = re.findall(r"^rabbitmqctl (.*)$", text, re.M)
    assert len(lines) == 2
    for line in lines:
        rabbitmq.ctl(*shlex.split(line))
    url = f"amqp://voxbus:s3cret@127.0.0.1:{rabbitmq.port}/"
    more = {"queue_grace": "1s", "queue_sweep": "2s", "queue_age_max": "3s"}
    conf = {"engines": [ari_engine(ari_peer.url, "hello")], "buses": [bus(url, **more)],
            "applications": applications("hello", bus="rabbit")}
    d = daemon(conf)
    d.wait_ready(20)
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    call = app.wait_call()
    call.wait_event("StasisStart")
    assert call.command("POST", "/channels/c1/answer")["status_code"] == 204
    ari_peer.wait_session("hello").send(stasis_end("c1", "hello"))
    call.wait_event("StasisEnd")
    call.detach()
    app.until(lambda: not any(app.counts(call.queue(kind)) for kind in QUEUES), 30, "queues are left")
    assert not d.events("channel closed")
    # Without the right to configure it says what it lacks.
    rabbitmq.ctl("set_permissions", "-p", "/", "voxbus", "^$", ".*", ".*")
    d.expect_log("port failed")
    ari_peer.wait_session("hello").send(stasis_start("c2", "hello"))
    assert "give it configure permissions" in d.wait_log("port failed")["reason"]
    d.stop()


def test_a_wrong_password_and_a_virtual_host_that_is_not_there(daemon, ari_peer, rabbitmq):
    for url, words in ((rabbitmq.url("wrong"), 'refuses user "guest"'),
                       (rabbitmq.url() + "nowhere", 'virtual host "nowhere"')):
        d = daemon({"engines": [ari_engine(ari_peer.url, "hello")], "buses": [bus(url)],
                    "applications": applications("hello", bus="rabbit")})
        d.expect_log("port failed")
        assert words in d.wait_log("port failed")["reason"]
        d.stop()


@pytest.mark.limit(90)
def test_a_real_call_is_answered_played_to_and_hung_up(daemon, asterisk, sipp, rabbitmq):
    d = daemon({"engines": [asterisk.engine("test")], "buses": [bus(rabbitmq.url())],
                "applications": applications("test", bus="rabbit")})
    d.wait_ready(20)
    app = AmqpApp(rabbitmq.url(), "test")
    calls = sipp("8000", count=3, hangup="callee", rate=3, limit=60)
    for _ in range(3):
        call = app.wait_call(30)
        cid = call.wait_event("StasisStart")["channel"]["id"]
        assert call.command("POST", f"/channels/{cid}/answer")["status_code"] == 204
        assert call.command("POST", f"/channels/{cid}/play", {"media": "sound:digits/1"})["status_code"] == 201
        assert call.wait_event("PlaybackFinished")["playback"]["state"] == "done"
        assert call.command("DELETE", f"/channels/{cid}")["status_code"] == 204
        call.wait_event("StasisEnd")
        assert numbers(call) == list(range(1, len(call.events) + 1))
    calls.must_succeed()
    app.close()
