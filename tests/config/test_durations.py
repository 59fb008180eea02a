import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesdk.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("500ms", 500_000_000),
        ("1.5s", 1_500_000_000),
        (" 2 m ", 120_000_000_000),
        ("0.1us", 100),
        ("7ns", 7),
        ("1h", 3_600_000_000_000),
    ],
)
def test_a_duration_is_read_exactly(text, nanoseconds):
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "500", "-1s", "1 fortnight", "1e3s", "1.s", "s", "9" * 20 + "s"]
)
def test_what_is_no_duration_says_what_one_looks_like(text):
    with pytest.raises(ValueError, match='expected a duration such as "500ms"'):
        parse_duration(text)


@given(st.integers(0, 10**12))
def test_what_is_written_reads_as_the_same(nanoseconds):
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds
