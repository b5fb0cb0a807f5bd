# SPDX-License-Identifier: MIT
"""voxbusd --ari-proxy: go-ari-proxy's config.json in place of a voxbus.yaml.

Which of its buses this voxbusd has says --print-doc: what has them must start with them and what has not must name
what is missing, so each test says something in either case.
"""
import json
import os
import pathlib
import signal
import subprocess

import pytest

import harness
from harness import run_program, wait_until

STATE_ESTABLISHED, STATE_LISTEN = "01", "0A"  # in /proc/net/tcp
BUSES = {"RABBITMQ": ("amqp", "amqp://guest:guest@127.0.0.1:1/"), "NATS": ("nats", "nats://127.0.0.1:1")}


def has_bus(kind):
    doc = run_program(harness.VOXBUSD, "--print-doc").stdout
    return f"buses[] with type: {kind}\n" in doc


def config(tmp_path, message_bus, url="http://127.0.0.1:8088/ari", **changes):
    path = tmp_path / "config.json"
    content = {"origin": "http://localhost/", "server_id": "pbx1", "applications": ["test"],
               "websocket_url": url.replace("http", "ws", 1) + "/events", "stasis_url": url, "ws_user": "ari",
               "ws_password": "secret", "message_bus": message_bus,
               "bus_config": {"url": BUSES.get(message_bus, ("", "x"))[1], "queue": "workers"}, "unknown": [1]}
    path.write_text(json.dumps({**content, **changes}, indent=2))
    return path


def ports(pid, state):
    """The local ports of its TCP sockets in that state."""
    inodes = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        inodes.add(os.readlink(fd).removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for name in ("tcp", "tcp6")
            for line in pathlib.Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == state and row[9] in inodes]


def voxbusd(tmp_path, *args):
    return run_program(harness.VOXBUSD, *args, env={"HOME": str(tmp_path)})


@pytest.mark.parametrize("message_bus", BUSES)
def test_check_and_print(tmp_path, message_bus):
    path, kind = config(tmp_path, message_bus), BUSES[message_bus][0]
    checked = voxbusd(tmp_path, "--ari-proxy", path, "--check")
    printed = voxbusd(tmp_path, "--ari-proxy", path, "--print")
    if not has_bus(kind):
        for done in (checked, printed):
            assert done.returncode == 2 and f'{path}:11:18: message_bus: type is "{kind}", must be ' in done.stderr, done
        return
    assert checked.returncode == 0 and checked.stdout == f"{path}: the configuration is right\n", checked
    yaml = tmp_path / "voxbus.yaml"
    yaml.write_text(printed.stdout.replace("'***'", "secret").replace('"***"', "secret"))
    assert "node: pbx1\n" in printed.stdout and f"type: {kind}\n" in printed.stdout, printed
    assert voxbusd(tmp_path, "-c", yaml, "--check").returncode == 0
    assert voxbusd(tmp_path, "-c", yaml, "--print").stdout == printed.stdout


def test_a_wrong_file_is_one_line_and_exit_2(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{\n "origin": "x"\n "server_id": 1}')
    for path, words in ((broken, f"{broken}:3:2: the JSON is broken"), (tmp_path / "no", "No such file"),
                        (config(tmp_path, "OSLO"), "not supported"), (tmp_path, "Is a directory")):
        for more in ([], ["--check"], ["--print"]):
            done = voxbusd(tmp_path, "--ari-proxy", path, *more)
            assert done.returncode == 2 and not done.stdout, done
            assert len(done.stderr.splitlines()) == 1 and words in done.stderr, done
    assert not (tmp_path / ".local").exists()


def test_one_configuration_at_a_time(tmp_path):
    for args in (("-c", "a.yaml", "--ari-proxy", "b.json"), ("--ari-proxy", "b.json", "-c", "a.yaml")):
        done = voxbusd(tmp_path, *args)
        assert done.returncode == 2 and "must be one of them" in done.stderr, done


@pytest.mark.parametrize("message_bus", BUSES)
def test_it_serves_asterisk_and_takes_no_port(tmp_path, ari_peer, message_bus):
    """The broker is away: that keeps nothing from starting. The old proxy opened no port, nor does this."""
    path, kind = config(tmp_path, message_bus, ari_peer.url), BUSES[message_bus][0]
    output = tmp_path / "output"
    with output.open("wb") as out, subprocess.Popen(
            [str(harness.VOXBUSD), "--ari-proxy", str(path)], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
            env=harness.child_env({"HOME": str(tmp_path)}), start_new_session=True) as process:
        try:
            if not has_bus(kind):
                assert process.wait(10) == 2, output.read_text()
                return
            assert ari_peer.wait_session("test").apps == ["test"]
            admin = tmp_path / ".local/state/voxbus/admin.sock"
            wait_until(admin.exists)
            doctor = run_program(harness.VOXBUS, "--socket", admin, "--json", "doctor", env={"HOME": str(tmp_path)})
            assert {"ok"} == {f["level"] for f in json.loads(doctor.stdout) if f["id"] == "configuration"}, doctor
            assert ports(process.pid, STATE_ESTABLISHED) and not ports(process.pid, STATE_LISTEN)
            process.send_signal(signal.SIGTERM)
            assert process.wait(harness.STOP_S) == 0, output.read_text()
        finally:
            process.kill()
    assert not harness.SANITIZER.search(output.read_text()), output.read_text()
