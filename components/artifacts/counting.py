"""Numbers with what they count, as messages and reports say them."""


def count_of(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: `1 image`, `2,000 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
