# SPDX-License-Identifier: MIT
"""docs/manual/asterisk.md by the letter: its very text goes into Asterisk's files and voxbus's, ports apart."""
import pathlib
import re

import pytest

from harness import LAB, SID, TOKEN, free_port

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "manual" / "asterisk.md").read_text()


def blocks(name, kind):
    """The code blocks of that kind that follow a paragraph which begins with the file's name, or come after."""
    section = PAGE[PAGE.index(f"`{name}`"):]
    return re.findall(rf"^```{kind}\n(.*?)^```$", section, re.M | re.S)


@pytest.mark.parametrize("which", [0, 1], ids=["commands by HTTP", "commands by the websocket"])
def test_asterisk_dials_as_the_manual_says(daemon, asterisk, sipp, which):
    port = free_port()
    client = blocks("websocket_client.conf", "ini")[0]
    ari = blocks("ari.conf", "ini")[0]
    conf = blocks("voxbus.yaml", "yaml")[which]
    assert "outbound_websocket" in ari and ("rest: websocket" in conf) == bool(which)
    users = (LAB / "asterisk" / "conf" / "ari.conf").read_text()
    users = users[users.index("[ari]"):]
    asterisk.configure(client=client.replace("127.0.0.1:8090", f"127.0.0.1:{port}"), ari=ari + users)
    conf = conf.replace("127.0.0.1:8090", "@HTTP@").replace("127.0.0.1:8088", f"127.0.0.1:{asterisk.ari_port}")
    conf += f"data_dir: @DATA@\nadmin: {{listen: '@ADMIN@'}}\naccounts: [{{sid: {SID}, token: {TOKEN}}}]\n"
    d = daemon(conf, http_port=port)
    d.wait_ready(20)
    calls = sipp("7000", hangup="callee", limit=40)
    dialog = d.pubsub().wait_dialog("hello")
    channel = dialog.wait_event("StasisStart")["channel"]["id"]
    assert dialog.command("POST", f"/channels/{channel}/answer")["status_code"] == 204
    assert dialog.command("DELETE", f"/channels/{channel}")["status_code"] == 204
    dialog.wait_event("StasisEnd")
    assert calls.result() == (1, 0), calls.said
    assert "ok" in d.cli("doctor").stdout


def test_voxbus_dials_as_the_manual_says(daemon, asterisk, sipp):
    section = PAGE[PAGE.index("## voxbus dials"):]
    conf = re.search(r"^```yaml\n(.*?)^```$", section, re.M | re.S)[1]
    ari = blocks("ari.conf", "ini")[0]
    users = (LAB / "asterisk" / "conf" / "ari.conf").read_text()
    asterisk.configure(client="", ari=ari[:ari.index("[voxbus-events]")] + users[users.index("[ari]"):])
    conf = conf.replace("127.0.0.1:8088", f"127.0.0.1:{asterisk.ari_port}")
    conf += (f"http: {{listen: ['@HTTP@']}}\ndata_dir: @DATA@\nadmin: {{listen: '@ADMIN@'}}\n"
             f"accounts: [{{sid: {SID}, token: {TOKEN}}}]\n")
    d = daemon(conf, env={"VOXBUS_ARI_PASSWORD": "secret"})
    d.wait_ready(20)
    calls = sipp("7000", hangup="callee", limit=40)
    dialog = d.pubsub().wait_dialog("hello")
    channel = dialog.wait_event("StasisStart")["channel"]["id"]
    assert dialog.command("DELETE", f"/channels/{channel}")["status_code"] == 204
    dialog.wait_event("StasisEnd")
    calls.result()
