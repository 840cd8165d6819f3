from pathlib import Path

import pytest

from components.serving.watch.record import open_record
from tests.components.serving.predict.conftest import CLASS_NAMES

_HEADER = ",".join(["Id", "Decisions", *CLASS_NAMES]) + "\n"


def test_unfinished_lines_are_removed(tmp_path: Path) -> None:
    out, lines = tmp_path / "p.csv", tmp_path / "p.jsonl"
    out.write_text(f"{_HEADER}a,,0.1,0.2,0.3\nb,,0.1")
    lines.write_text('{"id": "a"}\n{"id": "b"}\n{"id"')
    with open_record(out, CLASS_NAMES) as record:
        assert record.done == {"a"}
        record.write_lines([{"id": "c"}])
        record.write_rows([["c", "", "1", "0", "0"]])
    assert out.read_text() == f"{_HEADER}a,,0.1,0.2,0.3\nc,,1,0,0\n"
    assert lines.read_text() == '{"id": "a"}\n{"id": "b"}\n{"id": "c"}\n'


def test_other_classes_are_refused(tmp_path: Path) -> None:
    with open_record(tmp_path / "p.csv", CLASS_NAMES):
        pass
    with pytest.raises(ValueError, match="expected the columns Id,Decisions,Other"), open_record(tmp_path / "p.csv", ["Other"]):
        pass
