import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import pytest
from apache_beam.internal import pickler

from components import storage
from components.artifacts.index import Sample
from components.convert.shards.beam_job import WriteShard, run_job
from components.convert.shards.resplit import CopyTask, RecordRun, copy_shard
from components.convert.shards.runner import Engine, in_process_options
from components.convert.shards.tasks import ShardTask
from components.convert.shards.writer import write_shard

MakeSamples = Callable[..., list[Sample]]
PlanTasks = Callable[..., list[ShardTask]]

_ROOT = Path(__file__).parents[4]


def _note(task: ShardTask, readers: Executor) -> None:
    """Replaces a function that writes a shard: records the call, and uses a reader."""
    size = readers.submit(lambda: str(task.num_samples)).result()
    storage.write_bytes(task.part_uri, size.encode())


def test_calls_the_function_once_for_each_shard(make_samples: MakeSamples, plan_tasks: PlanTasks) -> None:
    tasks = plan_tasks(make_samples(1200, side_px=8))
    run_job(_note, tasks, in_process_options())
    assert len(tasks) == 7
    assert {task.name: int(storage.read_bytes(task.part_uri)) for task in tasks} == {t.name: t.num_samples for t in tasks}


def test_progress_counts_finished_samples(
    make_samples: MakeSamples, plan_tasks: PlanTasks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run_job(_note, plan_tasks(make_samples(40, side_px=8)), in_process_options())
    assert "40/40 samples, 100 %" in caplog.text


def test_error_of_a_shard_is_raised(tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks) -> None:
    (task,) = plan_tasks(make_samples(2), "train")
    (tmp_path / "images" / "1.png").write_bytes(b"other content")
    with pytest.raises(Exception, match=r"1\.png is damaged"):
        run_job(write_shard, [task], in_process_options())


def test_beam_accepts_the_job_for_dataflow(tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks) -> None:
    """As far as possible without an account: Beam translates and checks the job, and stops before sending it."""
    place = "--project=some-project --region=us-central1 --temp_location=gs://some-bucket/temp"
    engine = Engine.named("DataflowRunner", f"{place} --sdk_container_image=some-image --dry_run=yes")
    tasks = plan_tasks(make_samples(40))
    copy = CopyTask("x", "train", (RecordRun("u", 0, (1,)),), "gs://some-bucket/unsplit", str(tmp_path / "copies"))
    run_job(write_shard, tasks, engine.decoding_options(0))
    run_job(copy_shard, [copy], engine.copying_options())
    assert not any(storage.exists(task.part_uri) for task in [*tasks, copy])


@pytest.mark.parametrize("write", [write_shard, copy_shard])
def test_workers_unpickle_their_input_without_importing_tensorflow(write: Callable[..., None]) -> None:
    """TensorFlow would take most of a worker's memory, and longer to start than writing many shards."""
    code = """if True:
        import sys
        from apache_beam.internal import pickler
        sent = pickler.loads(sys.stdin.buffer.read())
        assert type(sent).__module__ == "components.convert.shards.beam_job"
        assert "tensorflow" not in sys.modules
    """
    sent = pickler.dumps(WriteShard(write, "images"))
    subprocess.run([sys.executable, "-c", code], input=sent, cwd=_ROOT, check=True)
    assert len(sent) < 1000  # names instead of code


def test_this_process_imports_tensorflow_only_after_all_shards_are_written() -> None:
    code = "import sys, components.convert.examples; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=_ROOT, check=True)
