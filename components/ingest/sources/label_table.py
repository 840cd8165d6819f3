"""The table of labels, read row by row. An invalid row gives its sample a reason and does not affect other rows."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from components.artifacts.image_names import COMPETITION_NAMES, ImageNames
from components.artifacts.index import at_line, without_line
from components.artifacts.labels import parse_target
from components.artifacts.sample_ids import clean_id, id_problem
from components.ingest.sources.source import Listed
from components.ingest.sources.table import Table, read_table
from components.runtime.wording import count_of

LABELS = "train.csv"
# The usual names of columns. Case, spaces, `_` and `-` are ignored.
ID_COLUMNS = ("id", "image", "image id", "image name", "file", "file name", "sample", "sample id")
LABEL_COLUMNS = ("target", "targets", "label", "labels", "class", "classes")
_YES, _NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
_NUMBERS = re.compile(r"[0-9\s;|]+")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelTable:
    """Which file of a folder is its table of labels, and how it is laid out.

    Attributes:
        file: Its name in the folder, or a full path or address; empty for `train.csv`.
        id_column: The column of the samples' ids; empty for the one with a usual name.
        label_column: The column of their labels; empty for the one with a usual name, or a column of 0 and 1 for each class.
        group_column: The column of groups that stay in one split, such as plates; empty for none.
        first_class: The number of the first class in the labels, 0 or 1.
    """

    file: str = ""
    id_column: str = ""
    label_column: str = ""
    group_column: str = ""
    first_class: int = 0


USUAL_TABLE = LabelTable()


@dataclass(frozen=True)
class _Layout:
    """The positions of columns: `labels` has one, or one for each class."""

    table: Table
    id: int
    labels: list[int]
    group: int | None
    others: list[int]

    def columns(self, positions: Sequence[int]) -> str:
        return ", ".join(self.table.header[position] for position in positions)


def read_labels(
    data: bytes,
    name: str,
    class_names: Sequence[str],
    options: LabelTable = USUAL_TABLE,
    image_names: ImageNames = COMPETITION_NAMES,
) -> list[Listed]:
    """Reads a table of labels.

    An invalid row is returned with a reason that names the line. Identical rows count once. If the rows of an id differ, one is
    returned with the reason.

    Args:
        data: The file's content.
        name: Its name in errors.
        class_names: The names of the classes, by index.
        options: How the table is laid out.
        image_names: How the images are named: an id may be the name of one of the sample's files.

    Raises:
        ValueError: If the file is not a table, lacks a column, has no rows, or seems to number the classes from 1.
    """
    table = read_table(data, name)
    layout = _lay_out(table, class_names, options)
    if not table.rows:
        raise ValueError(f"{name}: expected a row for each sample below the columns {','.join(table.header)}. Received: none")
    if len(layout.labels) == 1 and not options.first_class:
        _check_numbers(table, layout.labels[0], len(class_names))
    rows: dict[str, tuple[int, Listed]] = {}
    for line, row in table.rows:
        listed = _parse_row(row, line, layout, class_names, options.first_class, image_names)
        first_line, first = rows.setdefault(listed.sample_id, (line, listed))
        if (listed.labels, listed.group, without_line(listed.reason)) != (
            first.labels,
            first.group,
            without_line(first.reason),
        ):
            reason = f"its row on line {first_line} has other values. Put all classes of a sample in one row"
            rows[listed.sample_id] = first_line, Listed(listed.sample_id, (), at_line(reason, _file_name(name), line))
    of_group = f", groups in {layout.columns([layout.group])}" if layout.group is not None else ""
    _log.info(
        "%s: %s (%s); ids in the column %s, labels in %s%s",
        name,
        count_of(len(table.rows), "row"),
        table.form,
        layout.columns([layout.id]),
        layout.columns(layout.labels) if len(layout.labels) == 1 else "a column for each class",
        of_group,
    )
    return [listed for _, listed in rows.values()]


def _lay_out(table: Table, class_names: Sequence[str], options: LabelTable) -> _Layout:
    id_column = _column(table, "id_column", options.id_column, ID_COLUMNS)
    if id_column is None:
        raise table.no_such_columns(
            f"a column of ids, called {_one_of(ID_COLUMNS)}", ". If it has another name, give id_column"
        )
    label_column = _column(table, "label_column", options.label_column, LABEL_COLUMNS)
    labels = [label_column] if label_column is not None else _class_columns(table, class_names)
    group = _column(table, "group_column", options.group_column, ())
    first = {name: table.header.index(name) for name in table.header if name}
    others = [position for position in first.values() if position not in (id_column, *labels)]
    return _Layout(table, id_column, labels, group, others)


def _column(table: Table, parameter: str, given: str, usual: Sequence[str]) -> int | None:
    found = table.find([given] if given else usual)
    exact = [position for position in found if table.header[position] == given]
    if len(found) == 1 or exact:
        return (exact or found)[0]
    if given:
        raise table.no_such_columns(f"the column {given}, which {parameter} names")
    if found:
        names = [table.header[position] for position in found]
        raise ValueError(
            f"{table.name}, line {table.header_line}: expected only one column with a name such as {usual[0]}. "
            f"Received: {' and '.join(names)}. Choose one: {parameter}={names[0]}"
        )
    return None


def _class_columns(table: Table, class_names: Sequence[str]) -> list[int]:
    """The column of each class in a table with 0 and 1 for each class."""
    found = {name.casefold(): position for position, name in reversed(list(enumerate(table.header)))}
    missing = [name for name in class_names if name.casefold() not in found]
    if not missing:
        return [found[name.casefold()] for name in class_names]
    some = f" (there is none for {', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''})"
    raise table.no_such_columns(
        f"a column of labels, called {_one_of(LABEL_COLUMNS)}, or one of 0 and 1 for each class"
        f"{some if len(missing) < len(class_names) else ''}",
        ". If it has another name, give label_column",
    )


def _one_of(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _check_numbers(table: Table, column: int, num_classes: int) -> None:
    """Refuses numbers that seem to count from 1, which would silently make every label wrong."""
    lines: dict[int, int] = {}
    for line, row in table.rows:
        if column < len(row) and _NUMBERS.fullmatch(row[column]):
            for number in re.findall(r"[0-9]{1,9}", row[column]):
                lines.setdefault(int(number), line)
    if lines and max(lines) == num_classes and 0 not in lines:
        raise ValueError(
            f"{table.name}: the labels seem to count from 1: they go from {min(lines)} to {num_classes}, and the {num_classes} "
            f"classes have the numbers 0 to {num_classes - 1}. If so, give first_class=1. If not, see line {lines[num_classes]}"
        )


def _parse_row(
    row: Sequence[str], line: int, layout: _Layout, class_names: Sequence[str], first_class: int, image_names: ImageNames
) -> Listed:
    header = layout.table.header
    cells = [cell.strip() for cell in row]
    while len(cells) > len(header) and not cells[-1]:
        cells.pop()
    written = cells[layout.id] if layout.id < len(cells) else ""
    named = image_names.parse(written)
    sample = Listed(named[0] if named else clean_id(written), ())
    try:
        if len(cells) > len(header):
            raise ValueError(
                f"its row has {len(cells)} columns: expected {len(header)}. If semicolons or commas separate the columns, "
                f"quote labels that contain one, or separate names with '|'"
            )
        if len(cells) < len(header):
            raise ValueError(f"its row has {count_of(len(cells), 'column')}: expected {len(header)}, {', '.join(header[:5])}")
        if problem := id_problem(sample.sample_id):
            raise ValueError(f"Id {problem}. Received: {written!r}")
        if len(layout.labels) == 1:
            labels = parse_target(cells[layout.labels[0]], class_names, first_class)
        else:
            labels = _marked([cells[position] for position in layout.labels], class_names)
        group = cells[layout.group] if layout.group is not None else ""
        columns = {header[position]: cells[position] for position in layout.others if cells[position]}
        return replace(sample, labels=labels, group=group, columns=columns)
    except ValueError as error:
        return replace(sample, reason=at_line(str(error), _file_name(layout.table.name), line))


def _marked(cells: Sequence[str], class_names: Sequence[str]) -> tuple[int, ...]:
    """The classes that have a 1."""
    labels = []
    for label, cell in enumerate(cells):
        if cell.casefold() not in (*_YES, *_NO):
            raise ValueError(f"expected 0 or 1 in the column {class_names[label]}. Received: {cell!r}")
        if cell.casefold() in _YES:
            labels.append(label)
    if not labels:
        raise ValueError("no class has a 1. Images that show none of the classes need a class of their own")
    return tuple(labels)


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]
