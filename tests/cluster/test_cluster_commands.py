"""``edgesdk cluster``: what each command prints, what it ends with, and whom it tells."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest

from edgesdk.cli.main import main
from edgesdk.cluster.identity import Identity
from tests.cluster.namespaces import Lan, needs_namespaces
from tests.cluster.node_processes import NodeProcess

COMMAND = [sys.executable, "-c", "from edgesdk.cli.main import main; main()", "cluster"]


@pytest.fixture
def run(monkeypatch, capfd):
    """Runs a command: its exit code, the document on standard output, the words on the other."""

    def call(*words, folder=None):
        monkeypatch.setattr(sys, "argv", ["edgesdk", "cluster", *map(str, words)])
        monkeypatch.setenv("EDGESDK_CLUSTER", str(folder or ""))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, said = capfd.readouterr()
        assert "Traceback" not in said
        return ended.value.code, json.loads(out) if out else None, said

    return call


def test_a_cluster_is_made_filled_and_thinned_out(run, tmp_path):
    folder = tmp_path / "home"
    code, made, _ = run("init", folder, "--json")
    assert code == 0
    assert (made["command"], made["name"]) == ("cluster init", "home")
    assert Identity.load(made["operator_bundle"]).role == "operator"
    code, added, said = run("add", "cam1", "--days", 10, "--dir", folder, "--json")
    assert (code, added["number"], said) == (0, 2, "")
    assert Identity.load(added["bundle"]).fingerprint == made["fingerprint"]
    code, rotated, _ = run("rotate", "cam1", "--json", folder=folder)
    assert (code, rotated["number"], rotated["revoked"]) == (0, 2, False)
    assert rotated["bundle"] != added["bundle"]
    code, removed, _ = run("remove", "cam1", "--offline", "--json", folder=folder)
    assert (code, removed["number"], removed["revocations"], removed["told"]) == (0, 2, 2, [])
    code, again, _ = run("add", "cam1", "--out", tmp_path / "b", "--json", folder=folder)
    assert (code, again["number"]) == (0, 3)


def test_people_are_told_what_to_do_next(run, tmp_path):
    _, document, said = run("init", tmp_path / "home")
    assert document is None
    assert "ca.key" in said
    assert "edgesdk cluster add NAME" in said
    _, _, said = run("add", "cam1", folder=tmp_path / "home")
    assert '[cluster] bundle = "..."' in said
    _, _, said = run("remove", "cam1", "--offline", folder=tmp_path / "home")
    assert "until one is told, all go on trusting it" in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("add", "cam 1"), 2, "expected a name of letters"),
        (("add", "x", "--days", "0"), 2, "--days 0: expected 1 to 3650"),
        (("remove", "nobody", "--offline"), 2, "'nobody' is no member; there are: operator"),
        (("remove", "operator", "--node", "nowhere"), 8, "expected HOST:PORT"),
        (("init", "."), 8, "never overwritten"),
        (("add", "x", "--out", "/nowhere/x"), 8, "/nowhere/x: cannot be written"),
        (("add", "x", "--dir", "/nowhere"), 8, "no cluster here"),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(run, cluster, monkeypatch, words, code, said):
    monkeypatch.chdir(cluster.folder)
    ended, document, error = run(*words, "--json")
    assert (ended, error.count("\n")) == (code, 1)
    assert said in error
    assert said in document["error"]["message"]
    assert set(cluster.authority.registry.members) == {"operator"}


def test_a_removal_is_pushed_to_a_node_that_is_named_and_gossip_does_the_rest(run, cluster):
    with contextlib.ExitStack() as stack:
        nodes = []
        for index in (1, 2, 3):
            seeds = [node.seed for node in nodes[-1:]]
            nodes.append(NodeProcess(cluster.bundle(index), "127.0.0.1", 0, *seeds))
            stack.callback(nodes[-1].end)
        one, two, three = nodes
        one.wait("joined", "node-2")
        two.wait("joined", "node-3")
        # Three knows only two; the operator tells only one.
        code, document, _ = run(
            "remove", "node-3", "--node", one.seed, "--json", folder=cluster.folder
        )
        assert code == 0
        assert {"address": one.seed, "node": "node-1", "error": ""} in document["told"]
        two.wait("left", "node-3", "removed")
        three.wait("left", "node-2", "closed")


@needs_namespaces
def test_a_removal_finds_the_nodes_of_the_lan_by_itself(cluster):
    with Lan(3) as lan, contextlib.ExitStack() as stack:
        nodes = []
        for host in (1, 2):
            node = NodeProcess(
                cluster.bundle(host),
                "0.0.0.0",
                7440,
                "discover",
                inside=lambda words, host=host: lan.inside(host, words),
            )
            stack.callback(node.end)
            nodes.append(node)
        nodes[0].wait("joined", "node-2")
        words = ["remove", "node-2", "--json", "--dir", str(cluster.folder)]
        done = subprocess.run(lan.inside(3, [*COMMAND, *words]), stdout=subprocess.PIPE, check=True)
        document = json.loads(done.stdout)
        assert "node-1" in {row["node"] for row in document["told"]}
        nodes[0].wait("left", "node-2", "removed")
