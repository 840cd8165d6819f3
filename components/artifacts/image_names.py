"""Naming patterns of image files: the sample and the filter that a file's name stands for."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TypeVar

from components.artifacts.labels import FILTERS, required_stains
from components.artifacts.sample_ids import clean_id

_File = TypeVar("_File")

DEFAULT_PATTERN = "{id}_{filter}.png"
# The folders of the competition's layout.
TRAIN, TEST = "train", "test"
_ID, _FILTER, _ANYTHING = "{id}", "{filter}", "*"
# The readable formats; the last five need optional readers. The content of a file decides, not its name.
SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".czi", ".lif", ".nd2", ".ozx", ".zarr")
# In place of a filter, for a file that holds all channels.
ALL_CHANNELS = ""


@dataclass(frozen=True)
class ImageNames:
    """The file names of a folder. They are case-insensitive, except ids.

    Attributes:
        pattern: A file's path below the folder: `{id}` stands for the sample, `{filter}` for the filter, and `*` for any text
            within a name. Without `{filter}`, each file holds all channels of a sample.
        filters: The filters' names in file names, such as `red=tubulin,green=antibody,blue=DAPI`, or their channels in a file,
            by name or position; empty if these are the stains' own names.
        stains: The names of the stains, in order.
    """

    pattern: str = DEFAULT_PATTERN
    filters: str = ""
    # Not in the repr, which identifies sources of the four colours across versions.
    stains: tuple[str, ...] = field(default=FILTERS, repr=False)

    def parse(self, path: str) -> tuple[str, str] | None:
        """The sample's id and the filter, or ALL_CHANNELS, of a path; None if it does not match or is hidden."""
        found = self._expression.fullmatch(path)
        if not found or path.startswith(".") or "/." in path:
            return None
        return clean_id(found["id"]), ALL_CHANNELS if self.channels else self._filter_of[found["filter"].casefold()]

    @property
    def channels(self) -> dict[str, str]:
        """The channel of each filter, by name or position, if a file holds all; empty if each filter has a file."""
        return {} if _FILTER in self.pattern else self._own_names

    def by_sample(self, paths: Iterable[str]) -> dict[str, dict[str, str]]:
        """The paths of the image files, by sample and filter.

        Raises:
            ValueError: If two files are the same filter of one sample.
        """
        files: dict[str, dict[str, str]] = defaultdict(dict)
        for path in paths:
            if parsed := self.parse(path):
                sample_id, name = parsed
                if other := files[sample_id].get(name):
                    what = f"the {name} filter of " if name else ""
                    alike = " (the same text in two Unicode forms)" if clean_id(other) == clean_id(path) else ""
                    raise ValueError(
                        f"Two files are {what}sample {sample_id}: {other} and {path}{alike}. Rename or remove "
                        f"one, or give a file_pattern that tells them apart. Received: file_pattern={self.pattern}"
                    )
                files[sample_id][name] = path
        return dict(files)

    def example(self, sample_id: str = "<Id>") -> str:
        """An example of a file name."""
        return self.pattern.replace(_ID, sample_id).replace(_FILTER, self._own_names[self.stains[:2][-1]])

    def options_for(self, names: Sequence[str], option: str) -> str:
        """The patterns for files of another format, as options; empty if some have the suffix of this pattern.

        Args:
            names: Files that do not match.
            option: The option, with `{}` for the pattern.
        """
        own = PurePosixPath(self.pattern).suffix
        present = [suffix for suffix in SUFFIXES if any(name.lower().endswith(suffix) for name in names)]
        if not present or own.lower() in present:
            return ""
        suffix = f".ome{present[0]}" if any(name.lower().endswith(f".ome{present[0]}") for name in names) else present[0]
        patterns = dict.fromkeys([self.pattern.removesuffix(own) + suffix, f"{_ID}{suffix}"])
        condition = " if each file holds all stains" if len(patterns) > 1 else ""
        return ", or ".join(option.format(pattern) for pattern in patterns) + condition

    @cached_property
    def _own_names(self) -> dict[str, str]:
        return parse_filters(self.filters, self.stains)

    @cached_property
    def _filter_of(self) -> dict[str, str]:
        return {own.casefold(): name for name, own in self._own_names.items()}

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        check_pattern(self.pattern)
        own_names = "|".join(re.escape(own) for own in self._filter_of)
        wanted = {_ID: "(?P<id>.+?)", _FILTER: f"(?P<filter>{own_names})", _ANYTHING: "[^/]*"}
        parts = re.split(r"(\{id\}|\{filter\}|\*)", self.pattern)
        return re.compile("".join(wanted.get(part) or re.escape(part) for part in parts), re.IGNORECASE)


COMPETITION_NAMES = ImageNames()


def by_filter(files: Mapping[str, _File], filters: Iterable[str]) -> dict[str, _File]:
    """The file of each filter of a sample: the same one for all `filters` if it holds all channels."""
    return dict.fromkeys(filters, files[ALL_CHANNELS]) if ALL_CHANNELS in files else dict(files)


def check_pattern(pattern: str) -> None:
    """Refuses a pattern that does not identify the sample and the filter of a file.

    Raises:
        ValueError: If it is invalid. The message says what was expected.
    """
    if pattern.count(_ID) != 1 or pattern.count(_FILTER) > 1:
        raise ValueError(
            "expected {id} once, and {filter} once or, if a file holds all channels, not at all: such as {id}_{filter}.png, "
            "{filter}/{id}.tif or {id}.ome.tif"
        )
    if not pattern.lower().endswith(SUFFIXES):
        raise ValueError(f"expected a name that ends in one of {' '.join(SUFFIXES)}")
    if pattern.startswith(("/", ".")) or "/." in pattern or re.search(r"[{}\\]", re.sub(r"\{(id|filter)\}", "", pattern)):
        raise ValueError("expected a path below the source's folder, with '/' between folders and no other braces")


def parse_filters(text: str, stains: Sequence[str] = FILTERS) -> dict[str, str]:
    """Parses the names of the stains in file names: a line of CSV such as `red=tubulin,green=antibody,blue=DAPI`.

    An item with a comma is quoted as a whole: `"red=Alexa 568, far",green=antibody,blue=DAPI`.

    Args:
        text: The line; empty if the files use the stains' own names.
        stains: The stains of the source, in the order of the result.

    Raises:
        ValueError: If it is invalid. The message says what was expected.
    """
    if not text:
        return {name: name for name in stains}
    given: dict[str, str] = {}
    for word in next(csv.reader([text], skipinitialspace=True)):
        name, _, own = (part.strip() for part in word.partition("="))
        if name not in stains or not own or name in given:
            raise ValueError(f"expected the name of each stain in your files, {_example(stains)}. {word.strip()!r} is not one")
        given[name] = own
    missing = [name for name in required_stains(stains) if name not in given]
    if missing or len({own.casefold() for own in given.values()}) < len(given):
        wrong = f"{' and '.join(missing)} missing" if missing else "one name twice"
        names = "red, green and blue (yellow may be left out)" if tuple(stains) == FILTERS else ", ".join(stains)
        raise ValueError(f"expected a name of its own for each of {names}: {wrong}")
    return {name: given[name] for name in stains if name in given}


def _example(stains: Sequence[str]) -> str:
    if tuple(stains) != FILTERS:
        return f"such as {','.join(f'{name}=...' for name in stains)}"
    return (
        "such as red=tubulin,green=antibody,blue=DAPI: red for microtubules, green for the protein, blue for the nucleus, and "
        "yellow, if there is one, for the endoplasmic reticulum. channels=DNA,protein names other stains"
    )
