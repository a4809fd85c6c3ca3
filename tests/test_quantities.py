import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preflight.quantities import format_duration, format_size, parse_count, parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("50GB", 50 * 10**9),
        ("40 GiB", 40 * 2**30),
        ("512M", 512 * 10**6),
        ("512Mi", 512 * 2**20),
        ("1.5kB", 1500),
        ("8gb", 8 * 10**9),
        ("100B", 100),
        (" 7 ", 7),
        (1024, 1024),
        (2e9, 2 * 10**9),
        ("0", 0),
        ("2 TiB", 2 * 2**40),
    ],
)
def test_sizes_are_read_as_people_write_them(written, size):
    assert parse_size(written) == size


@pytest.mark.parametrize(
    ("written", "count"),
    [("100k", 100_000), ("1_000", 1000), ("2M", 2 * 10**6), (5, 5), ("5e4", 50_000), ("1.5k", 1500)],
)
def test_counts_are_read_as_people_write_them(written, count):
    assert parse_count(written) == count


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("60s", 60),
        ("2m", 120),
        ("2 min", 120),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (5, 5),
        ("0.5", 0.5),
        ("250ms", 0.25),
        ("1d", 86_400),
    ],
)
def test_durations_are_read_as_people_write_them(written, seconds):
    assert parse_duration(written) == pytest.approx(seconds)


ODD = [
    "",
    "GB",
    "-1",
    "-5GB",
    "50XB",
    "1,5",
    "five",
    None,
    True,
    [],
    {},
    math.inf,
    math.nan,
    10**400,
    "9" * 500,
    "1e300",
    "½",
]


@pytest.mark.parametrize("parse", [parse_size, parse_count, parse_duration])
@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value)[:12])
def test_what_is_no_quantity_is_refused(parse, value):
    with pytest.raises(ValueError, match=r"\w"):
        parse(value)


@pytest.mark.parametrize(
    ("parse", "value"), [(parse_size, "1.5"), (parse_count, 0.5), (parse_duration, 0), (parse_duration, "9000d")]
)
def test_half_bytes_and_endless_deadlines_are_refused(parse, value):
    with pytest.raises(ValueError, match=r"whole number|between zero and a year"):
        parse(value)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (50 * 10**9, "50 GB"), (1_500_000, "1.5 MB"), (2**63, "9223 PB"), (999_999, "1 MB")],
)
def test_sizes_are_written_for_people(size, text):
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.254, "0.25 s"), (3.21, "3.2 s"), (45, "45 s"), (59.6, "1m"), (60, "1m"), (5400, "1h30m"), (3601, "1h1s")],
)
def test_durations_are_written_for_people(seconds, text):
    assert format_duration(seconds) == text


@settings(max_examples=100)
@given(st.integers(min_value=0, max_value=9 * 10**17))
def test_a_written_size_reads_back_within_its_precision(size):
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.006)


@settings(max_examples=100)
@given(st.floats(min_value=0.01, max_value=10**6))
def test_a_written_duration_reads_back_within_its_precision(seconds):
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.06)
