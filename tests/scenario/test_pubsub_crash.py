# SPDX-License-Identifier: MIT
"""kill -9 under 64 publishers and 16 pollers: nothing lost, and only what was under way comes twice, marked.

tests/peers/pubsub_crash.py says what counts as under way, and is the same by hand with more rounds.
VOXBUS_CRASHES (15) is the number of kills.
"""
import asyncio
import os

import pytest
from pubsub_crash import run_rounds

CRASHES = int(os.environ.get("VOXBUS_CRASHES") or 15)


@pytest.mark.limit(60 + 2 * CRASHES)
def test_after_a_kill_only_what_was_under_way_comes_twice_and_says_so(daemon):
    d = daemon({"journal": {"segment": "4MiB"}})
    d.expect_log("journal torn")
    ledger = asyncio.run(run_rounds(d, CRASHES, seed=1))
    figures, bad = ledger.judge()
    assert not ledger.odd, ledger.odd[:3]
    assert figures["published"] > 100, "hardly anything was published"
    assert not any(bad.values()), (bad, figures)
    d.stop()
