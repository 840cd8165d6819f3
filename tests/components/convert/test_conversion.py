from collections.abc import Callable
from pathlib import Path

import pytest

from components import storage
from components.artifacts.index import Sample
from components.artifacts.tfrecord import is_whole_record
from components.convert import conversion as conversion_module
from components.convert.conversion import Conversion, split_unsplit, write_splits, write_unsplit
from components.convert.settings import UNSPLIT
from components.convert.shards import resplit, runner
from components.convert.shards import tasks as tasks_module
from components.convert.shards.runner import Engine
from components.convert.shards.tasks import ShardTask

MakeSamples = Callable[..., list[Sample]]
PlanTasks = Callable[..., list[ShardTask]]

_LOCAL = Engine.named("local", "")


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tasks_module, resplit):
        monkeypatch.setattr(module, "MAX_SHARD_SAMPLES", 6)


def _files(folder: str | Path) -> dict[str, tuple[bytes, int]]:
    """The content and modification time of each file."""
    files = (path for path in Path(folder).rglob("*") if path.is_file() and ".partial" not in path.parts)
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def _content(folder: str | Path) -> dict[str, bytes]:
    return {name: data for name, (data, _) in _files(folder).items()}


def _split(tasks: list[ShardTask]) -> Conversion:
    """Writes unsplit shards, splits the samples, and copies the records."""
    converted = write_unsplit(tasks, _LOCAL)
    split_of = {s.sample_id: ("train", "train", "validation", "test")[int(s.sample_id[1:]) % 4] for s in converted}
    return split_unsplit(tasks, converted, split_of, _LOCAL)


def _records(conversion: Conversion, examples_uri: str) -> dict[str, bytes]:
    return {
        sample.sample_id: storage.read_range(
            storage.join(examples_uri, sample.shard), sample.start, sample.num_bytes, is_whole_record
        )
        for sample in conversion.samples
        if not sample.reason
    }


def test_shards_of_known_splits_are_written_once(make_samples: MakeSamples, plan_tasks: PlanTasks) -> None:
    tasks = plan_tasks(make_samples(40))
    conversion = write_splits(tasks, _LOCAL)
    uri = tasks[0].examples_uri
    before = _files(uri)
    assert [shard.name for side in ("train", "validation", "test") for shard in conversion.shards[side]] == [
        task.name for task in tasks
    ]
    assert set(before) == {name for task in tasks for name in (task.name, f"parts/{task.name}.json")}
    assert write_splits(tasks, _LOCAL) == conversion
    assert _files(uri) == before


def test_a_later_split_gives_the_same_records(tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks) -> None:
    samples = make_samples(40)
    at_once = write_splits(plan_tasks(samples), _LOCAL)
    expected = _records(at_once, f"{tmp_path}/examples")
    storage.remove_tree(f"{tmp_path}/examples")
    afterwards = _split(plan_tasks(samples, UNSPLIT))
    assert _records(afterwards, f"{tmp_path}/examples") == expected
    assert {s.sample_id: s.split for s in afterwards.samples} == {s.sample_id: s.split for s in at_once.samples}
    assert {side: sum(s.num_records for s in found) for side, found in afterwards.shards.items()} == {
        "train": 20,
        "validation": 10,
        "test": 10,
    }
    assert not (tmp_path / "examples" / "unsplit").exists()


@pytest.mark.parametrize(
    "lost",
    [
        ["unsplit"],  # after a kill before publishing, all shards exist
        ["train-00001-of-00004.tfrecord", "unsplit"],  # a shard was deleted
        ["parts/test-00000-of-00002.tfrecord.json"],  # a kill between a shard and its description
        ["parts/unsplit-00003-of-00007.tfrecord.json", "unsplit/unsplit-00003-of-00007.tfrecord"],
        ["parts/unsplit-00003-of-00007.tfrecord.json"],
        ["unsplit/unsplit-00002-of-00007.tfrecord", "validation-00000-of-00002.tfrecord"],
    ],
)
def test_only_missing_files_are_written_again(
    tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks, monkeypatch: pytest.MonkeyPatch, lost: list[str]
) -> None:
    tasks = plan_tasks(make_samples(40), UNSPLIT)
    uri = tasks[0].examples_uri
    with monkeypatch.context() as patched:
        patched.setattr(storage, "remove_tree", lambda _: None)  # as after a kill
        conversion = _split(tasks)
    before = _files(uri)
    for name in lost:
        path = Path(uri, name)
        if path.is_dir():
            storage.remove_tree(str(path))
        else:
            path.unlink()
    kept = _files(uri)
    assert kept.keys() < before.keys()
    assert _split(tasks) == conversion
    after = _files(uri)
    assert {name: data for name, (data, _) in after.items()} == {
        name: data for name, (data, _) in before.items() if not name.startswith("unsplit/")
    }
    assert {name: file for name, file in kept.items() if name in after} == {
        name: file for name, file in after.items() if name in kept
    }


def test_finished_shards_do_not_need_the_images(tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks) -> None:
    samples = make_samples(20)
    known, unsplit = plan_tasks(samples), plan_tasks(samples, UNSPLIT, root=f"{tmp_path}/2")
    for path in (tmp_path / "images").glob("*.png"):
        storage.write_bytes(f"{tmp_path}/2/images/{path.name}", path.read_bytes())
    expected = write_splits(known, _LOCAL), _split(unsplit)
    storage.remove_tree(f"{tmp_path}/images")
    storage.remove_tree(f"{tmp_path}/2/images")
    assert (write_splits(known, _LOCAL), _split(unsplit)) == expected


def test_a_job_that_returns_before_its_end_is_an_error(
    make_samples: MakeSamples, plan_tasks: PlanTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if an option told Beam not to wait."""
    monkeypatch.setattr(conversion_module, "run_job", lambda *_: None)
    with pytest.raises(RuntimeError, match="7 of its 7 shards are missing"):
        write_unsplit(plan_tasks(make_samples(40), UNSPLIT), _LOCAL)


def test_bad_samples_are_described_and_have_no_record(tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks) -> None:
    samples = make_samples(20)
    samples[7].files.pop("green")
    conversion = _split(plan_tasks(samples, UNSPLIT))
    assert {s.sample_id: s.reason for s in conversion.samples if s.reason} == {"s007": "the green filter is missing"}
    assert len(_records(conversion, f"{tmp_path}/examples")) == 19
    assert len(conversion.samples) == 20


def test_several_processes_write_the_same_files_as_one(
    tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = plan_tasks(make_samples(40), UNSPLIT)
    one = _split(tasks)
    expected = _content(tasks[0].examples_uri)
    storage.remove_tree(tasks[0].examples_uri)
    monkeypatch.setattr(runner, "_MIN_BYTES_FOR_PROCESSES", 0)
    monkeypatch.setattr(runner.joblib, "cpu_count", lambda: 3)
    several = _split(tasks[::-1])
    assert several.shards == one.shards
    assert sorted(several.samples, key=lambda s: s.sample_id) == sorted(one.samples, key=lambda s: s.sample_id)
    assert _content(tasks[0].examples_uri) == expected


def test_an_object_store_gets_the_same_files(
    tmp_path: Path, remote_root: str, make_samples: MakeSamples, plan_tasks: PlanTasks
) -> None:
    samples = make_samples(20)
    make_samples(0, images_uri=f"{remote_root}/images")
    local = _split(plan_tasks(samples, UNSPLIT))
    tasks = plan_tasks(samples, UNSPLIT, root=remote_root)
    assert _split(tasks) == local
    assert storage.list_names(f"{remote_root}/examples") == storage.list_names(f"{tmp_path}/examples")
    for shard in (shard for found in local.shards.values() for shard in found):
        assert storage.read_bytes(f"{remote_root}/examples/{shard.name}") == (tmp_path / "examples" / shard.name).read_bytes()
    assert _split(tasks) == local
