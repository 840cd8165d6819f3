"""Extracts the exception from a printed traceback."""

import re
from collections.abc import Sequence

# The module of an exception's class, which users of the pipeline do not need.
_MODULES = re.compile(r"^(?:\w+\.)+(?=\w+(?::|$|\n))")


def last_exception(lines: Sequence[str]) -> str:
    """The class and the message of the last exception among lines of output; empty if there is no traceback."""
    starts = [number for number, line in enumerate(lines) if line.strip() == "Traceback (most recent call last):"]
    if not starts:
        return ""
    margin = len(lines[starts[-1]]) - len(lines[starts[-1]].lstrip())
    message = []
    for line in lines[starts[-1] + 1 :]:
        if line[margin : margin + 1].strip():
            message.append(line.strip())
        elif message:
            break
    return _MODULES.sub("", "\n".join(message))
