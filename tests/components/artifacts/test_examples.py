import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components import storage
from components.artifacts.examples import ExampleReader, open_splits, read_column, read_widths_um
from components.artifacts.manifest import SAMPLES, Examples
from tests.components.tf_examples import parse_example

PublishExamples = Callable[..., Examples]

_SHAPE = (6, 6, 3)
_CLASSES = ["Nucleus", "Cytosol", "Vesicles"]


def _sample(number: int) -> tuple[str, np.ndarray, list[int]]:
    """Ids and labels of different lengths, so that no two records have the same size."""
    pixels = np.random.default_rng(number).integers(0, 256, _SHAPE, dtype=np.uint8)
    return f"s{number:03d}" + "x" * (31 * number % 140), pixels, list(range(number % 4))


@pytest.fixture
def examples(publish_examples: PublishExamples, tmp_path: Path) -> Examples:
    """Training shards of 5, 0 and 3 examples, and a test shard of 2."""
    samples = [_sample(number) for number in range(10)]
    shards = {"train": [samples[:5], [], samples[5:8]], "validation": [], "test": [samples[8:]]}
    return publish_examples(tmp_path / "examples", shards, _CLASSES, groups={samples[9][0]: "a"})


def _edit_table(examples: Examples, edit: Callable[[str], str]) -> None:
    path = Path(examples.file_uri(SAMPLES))
    text = edit(gzip.decompress(path.read_bytes()).decode())
    path.unlink()
    path.write_bytes(gzip.compress(text.encode()))


def _open(examples: Examples, *splits: str) -> list[ExampleReader]:
    with open_splits(examples, splits) as readers:
        return [readers[split] for split in splits]


def test_a_reader_returns_the_same_as_tensorflow(examples: Examples) -> None:
    (reader,) = _open(examples, "train")
    parsed = [parse_example(record, _SHAPE, 3) for record in tf.data.TFRecordDataset(examples.shard_uris("train"))]
    assert len(reader) == len(parsed) == 8
    assert reader.ids == [record["id"].numpy().decode() for record in parsed]
    assert np.array_equal(reader.labels, [record["labels"].numpy() > 0 for record in parsed])
    for number in (7, 0, 4, 5, 4):
        assert np.array_equal(reader.pixels(number), parsed[number]["pixels"])
    batches = list(reader.batches(3))
    assert [len(batch) for batch in batches] == [3, 3, 2]
    assert np.array_equal(np.concatenate(batches), np.stack([record["pixels"] for record in parsed]))


def test_widths_are_read_from_the_table_of_samples(examples: Examples) -> None:
    assert read_widths_um(examples) == {}
    first, second, *_ = read_column(examples, "split")
    widths = {first: "7.5", second: ""}
    _edit_table(
        examples,
        lambda text: "\n".join(
            line + ("," + widths.get(line.partition(",")[0], "") if number else ",width_um")
            for number, line in enumerate(text.splitlines())
        ),
    )
    assert read_widths_um(examples) == {first: 7.5}


def test_images_are_views_of_the_file(examples: Examples) -> None:
    (reader,) = _open(examples, "test")
    assert not reader.pixels(1).flags.owndata
    assert not reader.pixels(1).flags.writeable


def test_an_empty_split_has_no_examples(examples: Examples) -> None:
    (reader,) = _open(examples, "validation")
    assert (len(reader), reader.ids, reader.labels.shape, list(reader.batches(2))) == (0, [], (0, 3), [])


def test_splits_in_an_object_store_are_downloaded_and_removed(examples: Examples, bucket_root: str, temporary: Path) -> None:
    storage.create_tree(Path(examples.uri), bucket_root)
    with open_splits(examples.model_copy(update={"uri": bucket_root}), ["train", "test"]) as readers:
        assert np.array_equal(readers["train"].pixels(6), _sample(6)[1])
        assert np.array_equal(readers["test"].pixels(1), _sample(9)[1])
        assert len(list(temporary.rglob("*.tfrecord"))) == 4
    assert list(temporary.iterdir()) == []


def test_a_missing_or_truncated_shard_is_named(examples: Examples) -> None:
    path = Path(examples.shard_uris("test")[0])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileNotFoundError, match=f"{examples.uri}: 1 shards are missing .* for example {path.name}"):
        _open(examples, "train")


def test_a_damaged_shard_is_named(examples: Examples) -> None:
    path = Path(examples.shard_uris("test")[0])
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    _open(examples, "train")
    with pytest.raises(OSError, match=f"{path} is damaged: expected the CRC-32C"):
        _open(examples, "test")


def test_a_damaged_shard_in_an_object_store_is_named(examples: Examples, bucket_root: str) -> None:
    storage.create_tree(Path(examples.uri), bucket_root)
    name = examples.shards["train"][0].name
    data = storage.read_bytes(f"{bucket_root}/{name}")
    storage.replace_bytes(f"{bucket_root}/{name}", b"x" + data[1:])
    with pytest.raises(OSError, match=f"{bucket_root}/{name} is damaged"):
        _open(examples.model_copy(update={"uri": bucket_root}), "train")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("\ns001x", "\ns00xx", "expected the record of s00xx"),
        (",0 1\n", ",0 2\n", r"with labels \[0, 2\] and 6 x 6 x 3 pixels"),
        (",0,", ",1,", "at byte 1, with labels"),
        ("train-00002-of-00003", "train-00001-of-00003", "expected the record of s005"),
        ("train-00002-of-00003", "train-00009-of-00003", "expected 0 bytes. Received: "),
        ("\ns000,train", "\ns000,test", "expected the record of s001"),
    ],
    ids=["id", "labels", "offset", "shard", "unknown shard", "split"],
)
def test_a_table_that_does_not_fit_the_shards_is_refused(examples: Examples, old: str, new: str, expected: str) -> None:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    _edit_table(examples, edit)
    with pytest.raises(ValueError, match=f"does not match the table in .*{expected}.*Delete {examples.uri} and run again"):
        _open(examples, "train")


def test_images_of_another_size_are_refused(examples: Examples) -> None:
    with pytest.raises(ValueError, match=r"train-00000-of-00003\.tfrecord does not match .* 7 x 7 x 3 pixels"):
        _open(examples.model_copy(update={"image_size_px": 7}), "train")


def test_a_column_is_read_by_sample_id(examples: Examples) -> None:
    groups = read_column(examples, "group")
    assert len(groups) == 10
    assert (groups["s000"], groups[_sample(9)[0]]) == ("s000", "a")


def test_examples_of_an_older_version_are_refused(examples: Examples) -> None:
    _edit_table(examples, lambda text: text.replace("offset", "start"))
    with pytest.raises(ValueError, match=r"expected the columns id, split, shard, offset, labels\. Received: .*older version"):
        _open(examples, "train")
