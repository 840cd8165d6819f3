"""When a schedule starts runs, as KFP's server reads it: by Go's robfig/cron, of which Sunday is 0 and never 7."""

import re
from dataclasses import dataclass
from typing import Any

UNITS_S = {"m": 60, "h": 3600, "d": 86400}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True)
class _Field:
    """A field of a cron expression: its name, and the values that it may have, also by names that stand for them."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def holds(self, text: str) -> bool:
        """Whether the server could read a text: numbers, ranges, steps, and lists of them."""
        return all(self._holds_part(part) for part in text.split(","))

    def _holds_part(self, part: str) -> bool:
        span, slash, step = part.partition("/")
        if slash and not re.fullmatch(r"0*[1-9][0-9]*", step):
            return False
        if span in ("*", "?"):
            return True
        first, dash, last = span.partition("-")
        ends = [self._number(first), self._number(last)] if dash else [self._number(first)]
        return all(self.low <= end <= self.high for end in ends) and ends[0] <= ends[-1]

    def _number(self, text: str) -> int:
        """The value that a text names; one that is too low if it is none."""
        if text.lower() in self.names:
            return self.low + self.names.index(text.lower())
        return int(text) if re.fullmatch(r"[0-9]{1,4}", text) else self.low - 1


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)


def read_times(cron: str, every: str) -> tuple[str, int]:
    """Reads when a schedule starts runs.

    Args:
        cron: Five fields as usual, to which KFP wants seconds in front; or six.
        every: Or a number with a unit.

    Returns:
        What KFP calls a cron expression, or the seconds between two runs.

    Raises:
        ValueError: If it is not one of them.
    """
    if bool(cron) == bool(every):
        raise ValueError('when: expected one of --cron and --every, such as --cron "0 3 * * 0" or --every 7d')
    if cron:
        return _read_cron(cron), 0
    match = re.fullmatch(r"([1-9]\d*)([mhd])", every)
    if not match:
        raise ValueError(f"--every: expected a number of minutes, hours or days, such as 90m, 12h or 7d. Received: {every}")
    return "", int(match[1]) * UNITS_S[match[2]]


def _read_cron(cron: str) -> str:
    given = cron.split()
    if len(given) not in (5, 6):
        raise ValueError(
            f'--cron: expected five fields, such as "0 3 * * 0" for Sundays at 3, or six, seconds first. Received: {cron}'
        )
    fields = given if len(given) == len(_FIELDS) else ["0", *given]
    for field, text in zip(_FIELDS, fields, strict=True):
        if not field.holds(text):
            names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
            raise ValueError(f"--cron: {field.name}: expected {field.low} to {field.high}{names}. Received: {text} in {cron}")
    return " ".join(fields)


def word_frequency(trigger: Any) -> str:
    """How often KFP starts a schedule's runs: a cron expression as `read_times` takes it, without seconds where they are 0."""
    if trigger.cron_schedule:
        return f"at {re.sub(r'^0 (?=(?:[^ ]+ ){4}[^ ]+$)', '', trigger.cron_schedule.cron)}"
    seconds = int(trigger.periodic_schedule.interval_second)
    for unit, unit_s in reversed(UNITS_S.items()):
        if seconds % unit_s == 0:
            return f"every {seconds // unit_s} {unit}"
    return f"every {seconds} s"
