# SPDX-License-Identifier: MIT
"""The lab alone: what the live tests stand on works without the daemon."""
import harness


def test_caller_with_rtp_reaches_asterisk_and_hangs_up(asterisk, sipp):
    calls = sipp("5000", talk_ms=1000)
    harness.wait_until(asterisk.channels, 5, "no channel")
    channel = asterisk.channels()[0]["id"]
    stats = harness.wait_until(lambda: received(asterisk, channel), 5, "no RTP received")
    assert stats >= 10
    calls.must_succeed()
    harness.wait_until(lambda: not asterisk.channels(), 5, "the channel is still there")


def received(asterisk, channel):
    status, stats = asterisk.rest("GET", f"/channels/{channel}/rtp_statistics")
    return stats["rxcount"] if status == 200 and stats["rxcount"] >= 10 else None


def test_caller_waits_for_the_far_end_to_hang_up(asterisk, sipp):
    calls = sipp("5001", hangup="callee")
    channel = harness.wait_until(asterisk.channels, 5, "no channel")[0]
    harness.wait_until(lambda: asterisk.channels()[0]["state"] == "Up", 5, "not answered")
    asterisk.rest("DELETE", f"/channels/{channel['id']}")
    calls.must_succeed()


def test_call_for_an_application_that_nobody_serves_fails(sipp):
    assert sipp("6000").result() == (0, 1)
