"""The texts that settings are given as."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import quantities as q

if TYPE_CHECKING:
    from collections.abc import Callable

ANY_TEXT = st.text(max_size=20) | st.text("0123456789.msh[]:/-_kKMGTi", max_size=12)
PARSERS = [
    q.duration,
    q.positive_duration,
    q.size,
    q.boolean,
    q.count,
    q.cosine,
    q.one_of("a", "b"),
    q.address,
    q.worker_url,
    q.marker_path,
]


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (q.duration, "500ms", 0.5),
        (q.duration, "5s", 5.0),
        (q.duration, "1.5s", 1.5),
        (q.duration, "10m", 600.0),
        (q.duration, "2h", 7200.0),
        (q.duration, "1m30s", 90.0),
        (q.duration, "1h1m1s1ms", 3661.001),
        (q.duration, "0s", 0.0),
        (q.positive_duration, "1ms", 0.001),
        (q.size, "0", 0),
        (q.size, "1234", 1234),
        (q.size, "1k", 1000),
        (q.size, "500M", 500_000_000),
        (q.size, "2G", 2_000_000_000),
        (q.size, "3T", 3_000_000_000_000),
        (q.size, "1Ki", 1024),
        (q.size, "1Mi", 1024**2),
        (q.size, "8Gi", 8 * 1024**3),
        (q.size, "1Ti", 1024**4),
        (q.size, "1.5Gi", 1_610_612_736),
        (q.boolean, "true", True),
        (q.boolean, "True", True),
        (q.boolean, "YES", True),
        (q.boolean, "on", True),
        (q.boolean, "1", True),
        (q.boolean, "false", False),
        (q.boolean, "No", False),
        (q.boolean, "off", False),
        (q.boolean, "0", False),
        (q.boolean, "", False),
        (q.count, "1", 1),
        (q.count, "0042", 42),
        (q.cosine, "1", 1.0),
        (q.cosine, "1.0", 1.0),
        (q.cosine, "0.99", 0.99),
        (q.cosine, ".5", 0.5),
        (q.one_of("a", "b"), "b", "b"),
        (q.address, "0.0.0.0:9090", ("0.0.0.0", 9090)),
        (q.address, "[::]:9090", ("::", 9090)),
        (q.address, "[::1]:0", ("::1", 0)),
        (q.address, "localhost:65535", ("localhost", 65535)),
        (q.worker_url, "http://127.0.0.1:8081", "http://127.0.0.1:8081"),
        (q.worker_url, "http://worker:8081/", "http://worker:8081"),
        (q.worker_url, "unix:///run/worker.sock", "unix:///run/worker.sock"),
        (q.marker_path, "VERSION", "VERSION"),
        (q.marker_path, "prod/VERSION", "prod/VERSION"),
        (q.marker_path, "..v/VERSION..", "..v/VERSION.."),
    ],
)
def test_a_sound_text_has_its_value(
    parse: Callable[[str], object], text: str, value: object
) -> None:
    """Each form that the documentation shows means what it says, in seconds and bytes."""
    parsed = parse(text)
    assert parsed == pytest.approx(value) if isinstance(value, float) else parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((q.duration, text) for text in ("", "5", "s", "5 s", "-5s", "1e3s", "5sec", "s5", "5s,")),
        *((q.positive_duration, text) for text in ("0s", "0ms0h", "", "5")),
        *((q.size, text) for text in ("", "-1", "8 Gi", "8GB", "8gi", "1e3", "Gi", "1Gi\n", "8K")),
        *((q.boolean, text) for text in ("maybe", "2", " true", "t")),
        *((q.count, text) for text in ("0", "-1", "", "1.0", "+1", "٣", "²", "1 ")),
        *((q.cosine, text) for text in ("0", "0.0", "1.01", "-0.5", "", "nan", "1e-1", "0.5 ")),
        *((q.one_of("a", "b"), text) for text in ("c", "", "A", "ab")),
        *((q.address, text) for text in ("", "9090", "host:", "host:-1", "host:65536", "host:x")),
        *((q.worker_url, t) for t in ("", "https://x", "http://", "http://a/b", "unix://", "x:1")),
        *((q.worker_url, text) for text in ("http://a b", "unix:///a b", "unix:/run/a")),
        *((q.marker_path, text) for text in ("", "/VERSION", "..", "../VERSION", "a/../VERSION")),
    ],
)
def test_another_text_is_refused(parse: Callable[[str], object], text: str) -> None:
    """Nothing is guessed: a text that the documentation does not show is an error."""
    with pytest.raises(ValueError, match=r"^(is |must )"):
        parse(text)


@given(st.sampled_from(PARSERS), ANY_TEXT)
def test_no_text_crashes(parse: Callable[[str], object], text: str) -> None:
    """Any text has a value or is refused."""
    with suppress(ValueError):
        parse(text)


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 999))
def test_a_sum_of_durations_is_their_sum(minutes: int, seconds: int, milliseconds: int) -> None:
    """The parts of a duration add up."""
    expected = minutes * 60 + seconds + milliseconds / 1000
    assert q.duration(f"{minutes}m{seconds}s{milliseconds}ms") == pytest.approx(expected)


@given(st.integers(0, 2**40), st.sampled_from([("k", 10**3), ("Ki", 2**10), ("Gi", 2**30)]))
def test_a_size_is_its_number_times_its_unit(number: int, unit: tuple[str, int]) -> None:
    """A quantity is exact as far as a float is."""
    assert q.size(f"{number}{unit[0]}") == pytest.approx(number * unit[1], rel=1e-15)


def test_one_of_names_what_it_would_take() -> None:
    """The error lists the words, so that nobody has to look them up."""
    with pytest.raises(ValueError, match=r"^is not one of auto, cpu, cuda$"):
        q.one_of("auto", "cpu", "cuda")("gpu")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (3 * 2**19, "1.5 MiB"),
        (-(2**20), "-1.0 MiB"),
        (5 * 2**40, "5.0 TiB"),
        (5 * 2**50, "5120.0 TiB"),
    ],
)
def test_amounts(size: int, text: str) -> None:
    """Bytes are shown in the unit that fits."""
    assert q.amount(size) == text
