# SPDX-License-Identifier: MIT
"""Real calls answered by the samples, with every frame accounted for; at full size by hand: tests/peers/call_load.py."""
import argparse

import pytest

import call_load


def load(bus, **more):
    return argparse.Namespace(**{"bus": bus, "asterisk": 22, "calls": 60, "rate": 20, "samples": 2, "fault": None,
                                 "settle": False, **more})


@pytest.mark.limit(150)
def test_calls_of_the_oldest_asterisk_on_nats():
    assert call_load.prove(load("nats", asterisk=16))


@pytest.mark.limit(240)
@pytest.mark.parametrize("bus", ["amqp", "nats"])
def test_broker_is_killed_under_calls(bus):
    """It is away for 10 s: callers wait, and no event of any call is lost, doubled unmarked or out of order."""
    assert call_load.prove(load(bus, fault="broker-kill"))
