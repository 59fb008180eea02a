from hypothesis import given
from hypothesis import strategies as st

from edgesdk import toml
from edgesdk.toml.lines import line_of, locate

DOCUMENT = '''# a comment = 1
top = 1
a.b . "c d" = [1, [2,
  3], # not ] the end
  { k = "x]}" , l = 2 },
]
text = """
[not a table]
k = 1 \\"""
"""
raw = \'\'\'
[nor.this]\'\'\'\'
[table."quoted # key"]  # comment
inner = { deep = { deeper = true } }
when = 2026-11-21 20:50:00Z
[[rows]]
n = 1
[rows.sub]
x = 1
[[rows]]
n = 2
[[rows.items]]
y = 'z'
'''


def test_every_key_has_the_line_it_stands_on():
    lines = locate(DOCUMENT)
    assert toml.loads(DOCUMENT)
    assert lines["top",] == 2
    assert lines["a", "b", "c d"] == 3
    assert lines["a", "b", "c d", 1, 1] == 4
    assert lines["a", "b", "c d", 2, "l"] == 5
    assert lines["text",] == 7
    assert lines["raw",] == 11
    assert lines["table", "quoted # key"] == 13
    assert lines["table", "quoted # key", "inner", "deep", "deeper"] == 14
    assert lines["table", "quoted # key", "when"] == 15
    assert lines["rows", 0, "n"] == 17
    assert lines["rows", 0, "sub", "x"] == 19
    assert lines["rows", 1, "n"] == 21
    assert lines["rows", 1, "items", 0, "y"] == 23


def test_what_is_not_in_the_file_is_at_the_table_around_it():
    lines = locate("\n[node]\nname = 'a'\n")
    assert line_of(lines, ("node", "threads")) == 2
    assert line_of(lines, ("web", "listen")) == 1


def paths(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, (*path, index))


SCALARS = st.one_of(
    st.integers(-100, 100).map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.sampled_from(['"a # b"', "'c]}'", '"""x\n\ny"""', "'''\n'\n'''", '"\\""', "1e3", "nan"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[\n" + ", # c\n".join(items) + "\n]"),
        st.lists(inner.filter(lambda v: "\n" not in v), max_size=3).map(
            lambda items: "{ " + ", ".join(f"k{n} = {item}" for n, item in enumerate(items)) + " }"
        ),
    ),
    max_leaves=6,
)
ENTRIES = st.lists(st.tuples(st.sampled_from(["", "[t{}]", "[[rows]]"]), VALUES), max_size=6)


@given(ENTRIES)
def test_the_scanner_finds_exactly_the_keys_that_the_parser_finds(entries):
    text = ""
    for number, (header, value) in enumerate(entries):
        text += header.format(number) + f"\nkey{number} = {value}\n"
    document = toml.loads(text)
    lines = locate(text)
    assert set(paths(document)) - {()} == set(lines)
    shown = text.split("\n")
    for path, line in lines.items():
        if isinstance(path[-1], str) and path[-1].startswith("key"):
            assert shown[line - 1].startswith(path[-1])
