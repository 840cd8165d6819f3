from pathlib import Path

import pytest

from pipeline.run_record import RunRecord


def test_a_saved_record_is_read_back(tmp_path: Path) -> None:
    record = RunRecord({"source": "synthetic:40", "data_root": "/data"})
    for step in ("ingest", "ingest", "convert"):
        record.record_line(step)
    record.end("failed", "no room", "convert")
    record.save(tmp_path)
    found = RunRecord.read(tmp_path)
    assert found == record
    assert [(name, step.status) for name, step in found.steps.items()] == [("ingest", "done"), ("convert", "failed")]
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_step_that_fails_before_logging_is_recorded() -> None:
    record = RunRecord({})
    record.record_line("ingest")
    record.end("failed", "no such module", "convert")
    assert [(name, step.status) for name, step in record.steps.items()] == [("ingest", "done"), ("convert", "failed")]


def test_a_run_stopped_before_any_step_has_none() -> None:
    record = RunRecord({})
    record.end("stopped")
    assert (record.status, record.steps) == ("stopped", {})


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"steps": {"ingest": {"when": 1}}}', '{"steps": {}, "colour": 1}'])
def test_a_damaged_record_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=rf"{tmp_path}/run.json: expected the record of a run"):
        RunRecord.read(tmp_path)
