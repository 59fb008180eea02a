"""Documents that nest without end, or are wrong without end, are refused in little time."""

from __future__ import annotations

import time

import msgspec
import pytest

from edgesdk.errors import ConfigError
from edgesdk.toml.depth import MOST_LEVELS, deep_key_at
from edgesdk.toml.structs import read_struct


class Anything(msgspec.Struct):
    name: str = ""
    tables: dict[str, object] = {}


DOTTED = ".".join(["a"] * 20_000)


@pytest.mark.parametrize(
    "text",
    [
        f"{DOTTED} = 1",
        f"[{DOTTED}]",
        f"[[{DOTTED}]]",
        f"x = {{ {DOTTED} = 1 }}",
        f"x = [ {{ {DOTTED} = 1 }} ]",
        f"{DOTTED.replace('a', chr(34) + 'a.b' + chr(34)).replace('.', ' . ')} = 1",
        ".".join(["a"] * 2_000_000) + " = 1",
        "x = " + "[" * 60 + "]" * 60,
        "x = " + "{ a = " * 60 + "1" + " }" * 60,
    ],
    ids=["key", "table", "array", "inline", "in an array", "quoted", "long", "arrays", "inlines"],
)
def test_toml_that_nests_without_end_is_refused_at_once_with_its_line(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError, match=r"^f\.toml:(3|1): nested too deeply"):
        read_struct(f"name = 'n'\n\n{text}\n", Anything, file="f.toml")
    assert time.process_time() - began < 2.0


def test_json_that_nests_without_end_is_refused() -> None:
    for text in ('{"a":' * 60 + "1" + "}" * 60, '{"a":' * 100_000 + "1" + "}" * 100_000):
        with pytest.raises(ConfigError, match="nested too deeply"):
            read_struct(text, Anything, file="f.json", form="json")


def test_dots_in_strings_and_comments_are_no_tables() -> None:
    for text in (
        f'name = "{DOTTED}"',
        f"name = '{DOTTED}' # {DOTTED}",
        f'name = """\n{DOTTED} = 1\n"""',
        "name = '...." + "." * 1000 + "'",
    ):
        assert deep_key_at(text) is None
        assert read_struct(text, Anything, file="f.toml").name


def test_as_many_tables_in_each_other_as_are_allowed_may_be_written() -> None:
    assert deep_key_at(".".join(["a"] * MOST_LEVELS) + " = 1") is None
    assert deep_key_at(".".join(["a"] * (MOST_LEVELS + 1)) + " = 1") == 0


def test_of_very_many_mistakes_the_first_are_told() -> None:
    text = "".join(f"k{i} = 1\n" for i in range(50_000))
    began = time.process_time()
    with pytest.raises(ConfigError) as error:
        read_struct(text, Anything, file="f.toml")
    lines = str(error.value).splitlines()
    assert len(lines) == 101
    assert lines[0].startswith("f.toml:1: unknown key k0 = 1")
    assert "more mistakes" in lines[-1]
    assert time.process_time() - began < 2.0


def test_a_name_of_megabytes_is_told_by_its_beginning() -> None:
    with pytest.raises(ConfigError) as error:
        read_struct(f'"{"k" * 1_000_000}" = 1', Anything, file="f.toml")
    assert len(str(error.value)) < 500
