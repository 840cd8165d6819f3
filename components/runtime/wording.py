"""Small pieces of text in messages and reports."""

from collections.abc import Sequence


def count_of(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 image`, `2,000 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def first_of(names: Sequence[str], num_named: int) -> str:
    """The first names of a list, and the number of others: `a, b and 3 more`."""
    more = f" and {len(names) - num_named} more" if len(names) > num_named else ""
    return ", ".join(names[:num_named]) + more


def shorten(value: object) -> str:
    """A value in at most 80 characters; the items of a list are separated by commas."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
