import os
from pathlib import Path

import pytest

from edgesdk.config import Config, load_config, parse_config
from edgesdk.errors import ConfigError

WHOLE = """
schema = 1
[node]
name = "node-1"
threads = 2
backends = ["openvino", "litert"]
state = "state"
cache = "/var/cache/edgesdk"
[web]
listen = "127.0.0.1:8080"
[outbox]
records = 1000
megabytes = 8
[cameras.door]
uri = "rtsp://user:secret@host/stream"
queue = 4
slots = 8
frames = "site"
[cameras.yard]
uri = "yard.mp4?loop=1"
[apps.people]
app = "people.py:people"
cameras = ["door", "yard"]
deadline = "1.5s"
weight = 2
[apps.bags]
app = "package.module:bags"
exact = true
[cluster]
bundle = "cam1.bundle"
listen = "127.0.0.1:7440"
seeds = ["10.0.0.2:7440"]
site = "hall"
[emulated]
name = "pi5"
residents = 2
[emulated.models.person]
base = "100ms"
overlap = 0.05
load = "6s"
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse_config(text, file="node.toml")
    return str(raised.value).split("\n")


def test_a_whole_file_becomes_a_config_with_paths_joined_to_its_folder(tmp_path):
    (tmp_path / "node.toml").write_text(WHOLE)
    config = load_config(tmp_path / "node.toml")
    assert config.node.threads == 2
    assert config.node.backends == ("openvino", "litert")
    assert config.node.state == str(tmp_path / "state")
    assert config.node.cache == "/var/cache/edgesdk"
    assert config.cameras["door"].uri == "rtsp://user:secret@host/stream"
    assert config.cameras["yard"].uri == str(tmp_path / "yard.mp4?loop=1")
    assert (config.cameras["yard"].queue, config.cameras["yard"].slots) == (1, 4)
    people, bags = config.apps["people"], config.apps["bags"]
    assert people.app == f"{tmp_path / 'people.py'}:people"
    assert (people.deadline, people.weight) == (1_500_000_000, 2.0)
    assert people.cameras == ("door", "yard")
    assert (bags.app, bags.cameras, bags.deadline) == ("package.module:bags", None, None)
    assert (people.exact, bags.exact) == (None, True)
    assert (config.cameras["door"].frames, config.cameras["yard"].frames) == ("site", "cluster")
    assert config.cluster is not None
    assert config.cluster.bundle == str(tmp_path / "cam1.bundle")
    assert (config.cluster.seeds, config.cluster.site) == (("10.0.0.2:7440",), "hall")
    assert config.emulated is not None
    assert config.emulated.models["person"].base == 100_000_000


def test_an_empty_file_means_the_defaults():
    assert parse_config("") == Config()


def test_a_blank_file_ends_nothing_that_runs_by_it(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text(" \n")
    assert load_config(file) == Config()
    with pytest.raises(ConfigError, match=r"node.toml: empty.*schema = 1"):
        load_config(file, again=True)
    file.write_text("schema = 1\n")
    assert load_config(file, again=True) == Config()


def test_a_pipe_is_not_waited_for_when_it_is_read_again(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe"):
        load_config(tmp_path / "pipe", again=True)


def test_the_example_in_the_contract_is_valid():
    text = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
    section = text.split("## The configuration file")[1]
    example = section.split("```toml\n")[1].split("```")[0]
    config = parse_config(example)
    assert config.cameras["door"].slots == 4
    assert config.apps["people"].deadline == 500_000_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema = 2", "node.toml:1: schema = 2: expected 1, the version this edgesdk reads"),
        ("\n\n[nod]\n", 'node.toml:3: unknown table [nod]: did you mean "node"?'),
        ("node = 3", "node.toml:1: node = 3: expected a table, [node]"),
        ("[node]\nthreds = 2", 'node.toml:2: unknown key node.threds = 2: did you mean "threads"?'),
        (
            "[node]\nthreads = true",
            "node.toml:2: node.threads = true: expected a whole number of threads, 1 to 1024",
        ),
        (
            "[node]\nbackends = [\n  'openvino',\n  3,\n]",
            "node.toml:4: node.backends[1] = 3: expected a backend's name",
        ),
        (
            "[cameras.door]\nqueue = 2",
            "node.toml:1: [cameras.door] has no uri: expected a source, such as "
            '"rtsp://host/stream" or "video.mp4"',
        ),
        (
            "[cameras.door]\nuri = 'x'\nqueue = 0",
            "node.toml:3: cameras.door.queue = 0: expected a whole number of frames, 1 (only the "
            "latest) to 1024",
        ),
        (
            "[cameras]\n'a b' = { uri = 'x' }",
            'node.toml:2: the name in [cameras."a b"]: expected a name of letters, digits, '
            "'.', '_' and '-', 64 at most",
        ),
        (
            "apps.people.app = 'people.py'",
            'node.toml:1: apps.people.app = "people.py": expected "FILE.py:NAME" or '
            '"package.module:NAME"',
        ),
        (
            "[apps.people]\napp = 'people.py:people'\ndeadline = '500'",
            'node.toml:3: apps.people.deadline = "500": expected a duration such as "500ms", '
            '"1.5s" or "2m"',
        ),
        (
            "[apps.people]\napp = 'people.py:people'\nweight = nan",
            "node.toml:3: apps.people.weight = NaN: expected a number above 0, such as 1.0",
        ),
        (
            "[cameras.door]\nuri='x'\n[apps.p]\napp = 'p.py:p'\ncameras = ['dor']",
            'node.toml:5: apps.p.cameras[0] = "dor": expected the name of a [cameras.NAME] '
            'table; did you mean "door"?',
        ),
        (
            "[cameras.door]\nuri = 'file:x.mp4?pace=slow'",
            "node.toml:2: cameras.door.uri: source 'file:x.mp4?pace=slow': pace='slow': expected "
            "real or fast",
        ),
        (
            "[web]\nlisten = '0.0.0.0:80'",
            'node.toml:2: web.listen = "0.0.0.0:80": expected a loopback address and a port, '
            'such as "127.0.0.1:8080" or "[::1]:8080"; the web surface has no cluster identity, '
            "and without one nothing listens beyond loopback",
        ),
        (
            "[cluster]\nbundle = 'b'\nlisten = '0.0.0.0'",
            'node.toml:3: cluster.listen = "0.0.0.0": expected HOST:PORT, such as "0.0.0.0:7440"; '
            "nodes talk over IPv4 only",
        ),
        (
            "[cluster]\nbundle = 'b'\nseeds = ['[::1]:7440']",
            'node.toml:3: cluster.seeds[0] = "[::1]:7440": expected HOST:PORT, such as '
            '"0.0.0.0:7440"; nodes talk over IPv4 only',
        ),
        (
            "[cluster]\nbundle = 'b'\nseeds = ['a:1', 'b:65536']",
            'node.toml:3: cluster.seeds[1] = "b:65536": expected a port of 1 to 65535',
        ),
        ("[cluster]\n", "node.toml:1: [cluster] has no bundle: expected a node bundle's path"),
        ("[node]\nname = \n", "node.toml:2: not TOML: invalid value, in: name ="),
        ("x = " + "[" * 100_000, "node.toml:1: nested too deeply: expected tables of keys"),
    ],
)
def test_a_mistake_names_file_line_field_value_and_what_was_expected(text, said):
    assert mistakes(text) == [said]


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines():
    found = mistakes(
        "[node]\nname = 'a b'\nthreads = 0\n[cameras.door]\nuri = 5\nslot = 4\n[extra]\nx = 1\n"
    )
    assert [line.split(":")[1] for line in found] == ["2", "3", "5", "6", "7"]


def test_a_mistake_never_shows_a_password():
    found = mistakes("[cameras.door]\nur = 'rtsp://user:hunter2@host/stream'\n")
    found += mistakes("[cameras.door]\nuri = ['rtsp://user:hunter2@host/stream']\n")
    found += mistakes("[cameras.door]\nuri = rtsp://user:hunter2@host/stream\n")
    assert not [line for line in found if "hunter2" in line]
    assert any("rtsp://***@host" in line for line in found)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name = '\xff'", "2: byte 0xff is not UTF-8"),
        (b"#" * (2 << 20), "over 1048576 bytes"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path, content, said):
    path = tmp_path / "node.toml"
    if content is not None:
        path.write_bytes(b"\n" + content)
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tmp_path):
    path = tmp_path / "node.toml"
    path.write_bytes(b"\xef\xbb\xbf[node]\r\nname = 'a'\r\nthreads = 0\r\n")
    with pytest.raises(ConfigError, match=r"node\.toml:3: node\.threads = 0"):
        load_config(path)
