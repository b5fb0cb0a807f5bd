# SPDX-License-Identifier: MIT
"""A RabbitMQ of the tests' own: from the Debian package, but with ports, directories and an epmd of its own.

Everything listens on 127.0.0.1 alone, lies in one temporary directory and is ended by the pids that we hold: the
epmd that Erlang would start and leave behind is started by us. Feature flags are left off at the start, which
migrates an empty database for seconds and for nothing.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import harness

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
START_S, STOP_S = 50, 20


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def speaks_amqp(port):
    """It says connection.start: before it has booted it takes connections and drops them."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.settimeout(5)
            s.sendall(b"AMQP\0\0\x09\x01")
            return s.recv(1) == b"\x01"
    except OSError:
        return False


class RabbitMQ:
    def __init__(self, conf="", plugins=()):
        """conf: more lines of rabbitmq.conf; plugins: names of those that it is to have."""
        self.conf, self.plugins, self.server = conf, plugins, None
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="vr", dir="/tmp"))
        self.port, self.dist_port, self.epmd_port = (harness.free_port() for _ in range(3))
        self.processes = []

    def url(self, password="guest"):
        return f"amqp://guest:{password}@127.0.0.1:{self.port}/"

    def _environment(self):
        empty = self.dir / "empty"
        empty.write_text("")
        (self.dir / "plugins").write_text(f"[{','.join(self.plugins)}].")
        (self.dir / "advanced.config").write_text("[{rabbit, [{forced_feature_flags_on_init, []}]}].")
        return {
            **os.environ, "HOME": str(self.dir),
            "ERL_EPMD_PORT": str(self.epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "voxbus@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.dir / "mnesia"), "RABBITMQ_LOG_BASE": str(self.dir / "log"),
            "RABBITMQ_PID_FILE": str(self.dir / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.dir / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(empty), "RABBITMQ_CONFIG_FILE": str(self.dir / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.dir / "advanced.config"),
            # This makes the script become the server, so that its pid is the server's.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "-noinput -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _spawn(self, *argv, env=None):
        with open(self.dir / "output", "ab") as out:
            self.processes.append(subprocess.Popen(argv, env=env, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=out,
                                                   stderr=subprocess.STDOUT))
        return self.processes[-1]

    def start(self):
        """Also again, after kill()."""
        if not self.processes:
            (self.dir / "rabbitmq.conf").write_text("log.file.level = warning\n" + self.conf)
            self._spawn("epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1")
            harness.wait_until(lambda: answers(self.epmd_port), 10, "epmd does not answer")
        server = self.server = self._spawn(SERVER, env=self._environment())
        harness.wait_until(lambda: server.poll() is not None or speaks_amqp(self.port), START_S,
                           "RabbitMQ does not answer", every=0.1)
        assert server.poll() is None, (self.dir / "output").read_text(errors="replace")
        return self

    def kill(self):
        """As in a crash: SIGKILL."""
        self.server.kill()
        self.server.wait()
        self.processes.remove(self.server)

    def ctl(self, *args):
        """rabbitmqctl ARGS; what it prints."""
        done = subprocess.run(["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", *map(str, args)], env=self._environment(),
                              capture_output=True, text=True, timeout=60, check=False, cwd=self.dir,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def freeze(self):
        self.server.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.server.send_signal(signal.SIGCONT)

    def clean(self):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
