# SPDX-License-Identifier: MIT
"""Fixtures of all Python tests: `daemon`, `flows`, `ari_peer`, `amqp_peer`, `asterisk`, `sipp`, `rabbitmq`, `nats_server`,
`nats_client`, `nats_peer`; see harness.py for what they give."""
import signal

import pytest

import harness
from amqp_peer import AmqpPeer
from ari_peer import AriPeer
from flows import CONFIG, Flows
from nats_peer import NatsPeer
from nats_server import NatsClient, NatsServer
from rabbitmq import RabbitMQ

LIMIT_S = 60


@pytest.fixture(autouse=True)
def time_limit(request):
    """No test hangs: after its limit it fails where it stands."""
    mark = request.node.get_closest_marker("limit")
    seconds = mark.args[0] if mark else LIMIT_S

    def alarm(*_):
        raise TimeoutError(f"the test took longer than {seconds} s")

    old = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture
def daemon(request, time_limit):
    """A function that starts a voxbusd: daemon(config=None, env=None, args=(), wait=True) -> Daemon.
    At the end each must stop in order, with nothing unexpected in its log."""
    # What the daemon talks to comes first, in whatever order the test names it: it must end last.
    for server in ("ari_peer", "amqp_peer", "asterisk", "asterisk_16", "nats_server", "nats_peer"):
        if server in request.fixturenames:
            request.getfixturevalue(server)
    started = []

    def start(config=None, **options):
        started.append(harness.Daemon(config, **options))
        return started[-1]

    yield start
    try:
        for d in started:
            d.stop()
    finally:
        for d in started:
            d.clean()


@pytest.fixture
def flows(daemon):
    """A daemon with simulated calls and the scripts of examples/ around it: see flows.py."""
    f = Flows(daemon(CONFIG))
    yield f
    f.end()


@pytest.fixture
def ari_peer(time_limit):
    """A scripted Asterisk: an AriPeer that is up."""
    with AriPeer() as peer:
        yield peer


@pytest.fixture
def amqp_peer(time_limit):
    """A scripted AMQP broker: an AmqpPeer that is up."""
    with AmqpPeer() as peer:
        yield peer


@pytest.fixture(scope="session")
def asterisk_22():
    a = harness.Asterisk(22)
    try:
        yield a.start()
    finally:
        a.clean()


@pytest.fixture(scope="session")
def asterisk_16():
    """The oldest Asterisk that is supported, for the tests that show it."""
    a = harness.Asterisk(16)
    try:
        yield a.start()
    finally:
        a.clean()


@pytest.fixture(scope="session")
def rabbitmq():
    """A RabbitMQ of our own: rabbitmq.url()."""
    broker = RabbitMQ()
    try:
        yield broker.start()
    finally:
        broker.clean()


@pytest.fixture
def nats_server(request, time_limit):
    """A nats-server of the test's own: nats_server.url(). @pytest.mark.nats("text of its configuration")."""
    mark = request.node.get_closest_marker("nats")
    server = NatsServer(mark.args[0] if mark else "")
    try:
        yield server.start()
    finally:
        server.clean()


@pytest.fixture
def nats_peer(time_limit):
    """A scripted NATS server: a NatsPeer that is up."""
    with NatsPeer() as peer:
        yield peer


@pytest.fixture
def nats_client(nats_server):
    """A function that makes foreign clients of that server: nats_client(user="u", pass="p") -> NatsClient."""
    made = []

    def make(**options):
        made.append(NatsClient(nats_server.port, **options))
        return made[-1]

    yield make
    for client in made:
        client.clean()


@pytest.fixture
def asterisk(asterisk_22):
    """The lab's Asterisk 22, running, without channels of an earlier test. A test may kill() it."""
    if not harness.wait_until(lambda: ari_answers(asterisk_22) or restart(asterisk_22), 20):
        pytest.fail("the lab's Asterisk does not start")
    yield asterisk_22
    asterisk_22.hush()
    if ari_answers(asterisk_22):
        for channel in asterisk_22.channels():
            asterisk_22.rest("DELETE", f"/channels/{channel['id']}")


def ari_answers(asterisk):
    try:
        return asterisk.rest("GET", "/asterisk/ping")[0] == 200
    except OSError:
        return False


def restart(asterisk):
    asterisk.stop()
    asterisk.start()


@pytest.fixture
def sipp(asterisk):
    """A function that places SIP calls: sipp("8000", count=5, talk_ms=500) -> SippCalls."""
    started = []

    def call(number, **options):
        started.append(asterisk.sipp(number, **options))
        return started[-1]

    yield call
    for calls in started:
        calls.clean()
