# SPDX-License-Identifier: MIT
"""The voxbus command: status, calls, tail, version, help, doctor and the faults that it names."""
import json
import signal
import socket
import subprocess

import pytest

import harness
from ari_peer import stasis_start
from harness import VOXBUS, applications, ari_engine, free_port, run_program, wait_until


def config(url, *apps, **engine):
    apps = apps or ("hello",)
    return {"engines": [ari_engine(url, *apps, **engine)], "applications": applications(*apps)}


def findings(daemon, *args):
    """{id: (level, what)} of the doctor, the worst of each; and its exit code."""
    order = ["ok", "warn", "fail"]
    done = daemon.cli("-c", daemon.config_path, "--json", "doctor", *args)
    worst = {}
    for f in json.loads(done.stdout):
        old = worst.get(f["id"], ("ok", ""))
        if order.index(f["level"]) >= order.index(old[0]):
            worst[f["id"]] = (f["level"], f["what"])
        assert (f["level"] == "ok") == (f["fix"] == ""), f
    return worst, done.returncode


def wait_fail(daemon, which, timeout=10):
    """The doctor's FAIL of that id; nothing else has failed."""
    found = wait_until(lambda: (lambda f: f if f[0][which][0] == "fail" else None)(findings(daemon)), timeout,
                       f"{which} is not found")
    bad = {k for k, v in found[0].items() if v[0] == "fail"}
    assert bad == {which} and found[1] == 1, found
    text = daemon.cli("-c", daemon.config_path, "doctor")
    lines = text.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"FAIL  {which} "))
    assert lines[at + 1].startswith("      fix: ") and text.returncode == 1, text.stdout
    return found[0][which][1]


def test_status_and_calls(ari_peer, daemon):
    d = daemon(config(ari_peer.url))
    d.wait_ready()
    done = d.cli("status")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("voxbusd 0.1.0 on test, up ") and lines[0].endswith(", ready")
    assert any(line.split()[:4] == ["pbx1", "asterisk", "engine", "up"] for line in lines)
    assert any(line.split()[:3] == ["hello", "http", "on"] for line in lines)
    assert "\x1b" not in done.stdout
    assert json.loads(d.cli("--json", "status").stdout)["ready"] is True
    assert d.cli("calls").stdout == "no calls\n"
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    line = wait_until(lambda: d.cli("calls").stdout.splitlines()[1:])[0]
    assert "hello" in line and "pbx1" in line
    assert json.loads(d.cli("calls", "--json").stdout)[0]["channel"] == "c1"


def test_tail_prints_until_it_is_interrupted(ari_peer, daemon):
    d = daemon(config(ari_peer.url))
    d.wait_ready()
    env = harness.child_env({"VOXBUS_ADMIN": str(d.admin_path)})
    tail = subprocess.Popen([str(VOXBUS), "tail"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)
    wait_until(lambda: d.metrics()["voxbus_tails"] == 1)
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    dialog = d.pubsub().wait_dialog("hello")
    dialog.command("POST", "/channels/c1/answer")
    seen = []
    while not seen or " = " not in seen[-1]:
        seen.append(tail.stdout.readline())
    text = "".join(seen)
    assert " * AppStart hello" in text and " > StasisStart " in text, text
    assert " < POST /channels/c1/answer" in text and " = POST /channels/c1/answer -> 20" in text, text
    tail.send_signal(signal.SIGINT)
    _, err = tail.communicate(timeout=5)
    assert (tail.returncode, err) == (0, "")


def test_tail_says_that_the_daemon_went_away(daemon):
    d = daemon()
    env = harness.child_env({"VOXBUS_ADMIN": str(d.admin_path)})
    tail = subprocess.Popen([str(VOXBUS), "tail", "x*"], env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    wait_until(lambda: d.metrics()["voxbus_tails"] == 1)
    d.stop()
    out, err = tail.communicate(timeout=5)
    assert (tail.returncode, out) == (1, "") and "has gone away" in err


def test_no_daemon_is_said_with_what_to_do(tmp_path):
    for command in ("status", "calls", "tail"):
        done = run_program(VOXBUS, "--socket", tmp_path / "no.sock", command)
        assert done.returncode == 1 and done.stdout == ""
        assert "voxbusd is not running" in done.stderr and "no.sock" in done.stderr
        assert "start it with `voxbusd`" in done.stderr
    done = run_program(VOXBUS, "status", env={"XDG_STATE_HOME": tmp_path, "HOME": "/"})
    assert f"{tmp_path}/voxbus/admin.sock" in done.stderr


def test_a_dead_socket_is_no_daemon(tmp_path):
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
    done = run_program(VOXBUS, "--socket", path, "status")
    assert done.returncode == 1 and "nothing listens" in done.stderr


@pytest.mark.parametrize("args, code, says", [
    ([], 2, "usage:"), (["nonsense"], 2, "no command"), (["--nonsense"], 2, "usage:"),
    (["status", "x"], 2, "no argument"), (["help", "x"], 2, "no command"),
    (["--url", "ftp://x", "status"], 1, "must be http://"),
    (["--socket", "a", "--url", "http://b", "status"], 2, "together"),
    (["--url", "http://127.0.0.1:1", "--token-file", "/nonexistent", "status"], 1, "token file"),
    (["help"], 0, "doctor"), (["help", "tail"], 0, "glob"), (["--version"], 0, "voxbus 0.1.0")])
def test_usage(args, code, says):
    done = run_program(VOXBUS, *args)
    assert done.returncode == code and says in done.stdout + done.stderr, done


def test_version_shows_both(daemon):
    d = daemon()
    assert d.cli("version").stdout == "voxbus 0.1.0\nvoxbusd 0.1.0\n"
    assert json.loads(d.cli("--json", "version").stdout) == {"voxbus": "0.1.0", "voxbusd": "0.1.0"}


# ---------------------------------------------------------------- doctor

def test_doctor_finds_nothing_when_all_is_well(ari_peer, daemon):
    d = daemon(config(ari_peer.url))
    d.wait_ready()
    found, code = findings(d)
    assert code == 0 and all(level != "fail" for level, _ in found.values()), found
    assert len(found) >= 10


def test_doctor_no_daemon(tmp_path):
    done = run_program(VOXBUS, "--socket", tmp_path / "s", "doctor", env={"VOXBUS_HTTP": "127.0.0.1:0"})
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL  daemon  "), done.stdout


def test_doctor_wrong_configuration(tmp_path):
    (tmp_path / "bad.yaml").write_text("node: x\nhttp: {listen: [127.0.0.1:8090]}\nnonsense: 1\n")
    done = run_program(VOXBUS, "--socket", tmp_path / "s", "-c", tmp_path / "bad.yaml", "doctor")
    assert done.returncode == 1
    line = next(x for x in done.stdout.splitlines() if " configuration " in x)
    assert line.startswith("FAIL") and "bad.yaml:3" in line and "nonsense" in line


def test_doctor_http_port_in_use(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        (tmp_path / "c.yaml").write_text(f'data_dir: {tmp_path}\nhttp: {{listen: ["127.0.0.1:{port}"]}}\n')
        done = run_program(VOXBUS, "--socket", tmp_path / "s", "-c", tmp_path / "c.yaml", "doctor")
    line = next(x for x in done.stdout.splitlines() if " http-port " in x)
    assert line.startswith("FAIL") and f"127.0.0.1:{port}" in line


def test_doctor_asterisk_unreachable(daemon):
    d = daemon(config(f"http://127.0.0.1:{free_port()}/ari"))
    d.expect_log("port lost", "port state", "port failed")
    assert "pbx1" in wait_fail(d, "asterisk-unreachable")


@pytest.mark.parametrize("status, which", [(401, "asterisk-login"), (403, "asterisk-denied"),
                                           (404, "asterisk-ari")])
def test_doctor_asterisk_refuses(ari_peer, daemon, status, which):
    ari_peer.handshake = status
    d = daemon(config(ari_peer.url))
    d.expect_log("port lost", "port state", "port failed")
    assert "pbx1" in wait_fail(d, which)


def test_doctor_application_replaced(ari_peer, daemon):
    d = daemon(config(ari_peer.url))
    d.expect_log("port lost", "port state", "port failed")
    d.wait_ready()
    ari_peer.replace("hello")
    wait_fail(d, "asterisk-replaced")


def test_doctor_calls_that_nobody_takes(ari_peer, daemon):
    d = daemon(config(ari_peer.url))
    d.wait_ready()
    ari_peer.wait_session("hello").send(stasis_start("c1", "hello"))
    found = wait_until(lambda: (lambda f: f if f[0]["unread-calls"][0] != "ok" else None)(findings(d)), 12)
    assert found[0]["unread-calls"][0] == "warn" and "hello" in found[0]["unread-calls"][1]
    assert found[1] == 0


def test_doctor_few_open_files(daemon):
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    d = daemon()
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (1024, hard))
    assert findings(d)[0]["open-files"][0] == "warn"
    assert soft <= hard


def test_doctor_data_directory_gone(daemon):
    d = daemon()
    hidden = d.data_dir.with_name("hidden")
    d.data_dir.rename(hidden)
    try:
        assert findings(d)[0]["data-directory"][0] == "fail"
    finally:
        hidden.rename(d.data_dir)
