"""How counts are worded."""


def count_of(number: int, noun: str) -> str:
    """A number of things: 1 sample, 2 samples, 31,072 samples."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"
