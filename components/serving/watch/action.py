"""Acts on the answers that meet a condition: runs a command, or posts to a URL."""

import json
import logging
import operator
import os
import re
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

_log = logging.getLogger(__name__)

# The environment variable that gives a command the field's id.
ID_VARIABLE = "HPA_FIELD_ID"
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*(.+?)\s*(>=|<=|>|<)\s*(\d*\.?\d+)\s*")
_TIMEOUT_S = 60.0
# Seconds before each further attempt.
_PAUSES_S = (1.0, 3.0)


@dataclass(frozen=True)
class Condition:
    """A comparison of a class's probability with a number. Without a class it always holds."""

    class_name: str = ""
    comparison: str = ">"
    number: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Reads `Mitotic spindle > 0.8`. An empty text always holds.

        Raises:
            ValueError: If the text has another form.
        """
        if not text:
            return cls()
        found = _CONDITION.fullmatch(text)
        if not found:
            raise ValueError(f'--when: expected a class, a comparison and a number: "Mitotic spindle > 0.8". Received: {text}')
        return cls(found[1], found[2], float(found[3]))

    def check(self, class_names: Sequence[str]) -> None:
        """Refuses a class that is not one of the model's.

        Raises:
            ValueError: If the class is unknown, with the model's classes.
        """
        if self.class_name and self.class_name not in class_names:
            raise ValueError(f"--when: expected one of {', '.join(class_names)}. Received: {self.class_name}")

    def holds(self, answer: dict[str, Any]) -> bool:
        """Whether the condition holds for an answer."""
        if not self.class_name:
            return True
        return _COMPARISONS[self.comparison](answer["probabilities"][self.class_name], self.number)


@dataclass(frozen=True)
class Action:
    """What to do with an answer.

    Attributes:
        when: The condition on the answer.
        command: Run without a shell, with the answer on standard input; empty for none.
        url: Gets the answer by POST; empty for none.
    """

    when: Condition = Condition()
    command: tuple[str, ...] = ()
    url: str = ""

    @classmethod
    def parse(cls, when: str, command: str, url: str) -> "Action":
        """Reads the options.

        Raises:
            ValueError: If one of them cannot be used.
        """
        if when and not (command or url):
            raise ValueError("--when: also expected --run or --post")
        if url and not url.startswith(("http://", "https://")):
            raise ValueError(f"--post: expected http:// or https://. Received: {url}")
        return cls(Condition.parse(when), tuple(shlex.split(command)), url)

    def act(self, answer: dict[str, Any]) -> str:
        """Acts on an answer, with a few attempts.

        Returns:
            Why it failed; empty if it succeeded or there was nothing to do.
        """
        if not (self.command or self.url) or not self.when.holds(answer):
            return ""
        content = json.dumps(answer).encode()
        problems = []
        if self.command:
            problems.append(_attempt(lambda: _run(self.command, answer["id"], content)))
        if self.url:
            problems.append(_attempt(lambda: _post(self.url, content)))
        return "; ".join(filter(None, problems))


def _attempt(act: Callable[[], None]) -> str:
    problem = ""
    for pause_s in (0.0, *_PAUSES_S):
        time.sleep(pause_s)
        try:
            act()
        except (OSError, ValueError, HTTPException, subprocess.SubprocessError) as error:
            problem = str(error)
            _log.warning("an action failed: %s", problem)
        else:
            return ""
    return problem


def _run(command: Sequence[str], sample_id: str, content: bytes) -> None:
    # In its own session, so that Ctrl-C does not interrupt it.
    environment = os.environ | {ID_VARIABLE: sample_id}
    subprocess.run(command, input=content, env=environment, timeout=_TIMEOUT_S, check=True, start_new_session=True)


def _post(url: str, content: bytes) -> None:
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            pass
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"--post was answered with status {error.code}") from None
    except OSError as error:
        raise OSError(f"--post cannot be reached: {getattr(error, 'reason', error)}") from None
