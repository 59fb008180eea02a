"""kill -9 of an agent with records in its outboxes, and what the next one delivers."""

import os
import signal
import subprocess
import sys

import pytest

from edgesdk.sinks import SinkSet

AGENT = """
import json, sys, time
from pathlib import Path
from edgesdk.sinks import SinkSet

kind, params, first = sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
sinks = SinkSet(Path(sys.argv[1]))
sink = sinks.open(kind, params)
sequence = first
while True:
    for _ in range(25):
        utc_ns = 10**18 + sequence
        sink.put({
            "id": f"a/c/1/{sequence}/{utc_ns}", "app": "a", "camera": "c", "sequence": sequence,
        })
        sequence += 1
    while sink.stats().undurable:
        time.sleep(0.001)
    print(sequence, flush=True)
    time.sleep(0.01)
"""


def run_and_kill(state, kind, params, first: int) -> int:
    """The sequence up to which a killed agent had said that records were kept."""
    import json

    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(state), kind, json.dumps(params), str(first)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdout is not None
    for _ in range(8):
        kept = int(agent.stdout.readline())
    os.kill(agent.pid, signal.SIGKILL)
    rest = agent.stdout.read().split()
    agent.wait()
    agent.stdout.close()
    return int(rest[-1]) if rest else kept


@pytest.mark.parametrize("kind", ["webhook", "mqtt"])
@pytest.mark.parametrize("away", [True, False], ids=["receiver away", "receiver there"])
def test_every_record_kept_by_a_killed_agent_reaches_the_receiver(
    tmp_path, request, kind, away, eventually
):
    if kind == "webhook":
        receiver = request.getfixturevalue("receiver")
        params = {"url": receiver.url}
        receiver.stop()
    else:
        receiver = request.getfixturevalue("broker")
        params = {"url": f"mqtt://127.0.0.1:{receiver.port}", "topic": "t"}
    if not away:
        receiver.start()
    kept = run_and_kill(tmp_path / "state", kind, params, 0)
    second = run_and_kill(tmp_path / "state", kind, params, 1_000_000)
    if away:
        receiver.start()
    sinks = SinkSet(tmp_path / "state")
    sink = sinks.open(kind, params)
    assert sink.flush(20)
    sinks.close()
    wanted = set(range(kept)) | set(range(1_000_000, second))
    eventually(lambda: wanted <= set(receiver.sequences))
    if away:
        assert len(receiver.sequences) == len(set(receiver.sequences))
