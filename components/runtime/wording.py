"""Small pieces of text in messages and reports."""

import datetime
from collections.abc import Sequence

# The first line of every step. It also shows that the previous step is done.
STARTED = "started"


def count_of(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 image`, `2,000 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size_of(num_bytes: int) -> str:
    """A size in the unit that suits it: `512 bytes`, `17.0 MB`, `220 GB`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= factor:
            number = num_bytes / factor
            return f"{number:.1f} {unit}" if number < 100 else f"{number:.0f} {unit}"
    return count_of(num_bytes, "byte")


def duration_of(seconds: float) -> str:
    """A duration in its two largest units: `5 s`, `2 min 5 s`, `1 h 40 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def time_of(time_s: float) -> str:
    """A time in seconds since 1970, to the minute: `2026-01-31 12:00 UTC`."""
    return f"{datetime.datetime.fromtimestamp(time_s, datetime.UTC):%Y-%m-%d %H:%M} UTC"


def first_of(names: Sequence[str], num_named: int) -> str:
    """The first names of a list, and the number of others: `a, b and 3 more`."""
    more = f" and {len(names) - num_named} more" if len(names) > num_named else ""
    return ", ".join(names[:num_named]) + more


def shorten(value: object, length: int = 80) -> str:
    """Shortens a value to at most `length` characters by removing its middle, as names of a set often begin alike.

    The items of a list are separated by commas.
    """
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= length else f"{text[: length // 2]}…{text[-((length - 1) // 2) :]}"


def printable(name: str) -> str:
    """Escapes invalid UTF-8 in a file name, or in an id taken from one."""
    return name.encode("utf-8", "backslashreplace").decode()
