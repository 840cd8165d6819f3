from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components import storage
from components.artifacts.tfrecord import RecordWriter, encode_example, example_parts, frame_record, is_whole_record
from tests.components.tf_examples import parse_example


def _tensorflow_example(sample_id: str, pixels: np.ndarray, labels: Sequence[int]) -> bytes:
    """The same, by TensorFlow's own classes."""

    def integers(values: Sequence[int]) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def content(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    height, width, channels = pixels.shape
    features = {
        "image/raw": content(pixels.tobytes()),
        "image/height": integers([height]),
        "image/width": integers([width]),
        "image/channels": integers([channels]),
        "image/filename": content(sample_id.encode()),
        "image/class/label": integers(labels),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


@given(
    st.text(st.characters(codec="utf-8"), max_size=200),
    st.lists(st.integers(0, 2**40), max_size=60),
    st.sampled_from([(1, 1, 3), (2, 3, 4), (11, 5, 3), (75, 75, 3), (130, 300, 4)]),
)
def test_an_example_has_the_same_bytes_as_from_tensorflow(sample_id: str, labels: list[int], shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(len(labels)).integers(0, 256, shape, dtype=np.uint8)
    example = encode_example(sample_id, pixels, labels)
    assert example == _tensorflow_example(sample_id, pixels, labels)
    before, after = example_parts(sample_id, shape, labels)
    assert example == before + pixels.tobytes() + after


@pytest.mark.parametrize(("shape", "labels"), [((5, 5, 3), (0, 4)), ((4, 7, 4), ())])
def test_tensorflow_reads_back_an_example(shape: tuple[int, int, int], labels: Sequence[int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    parsed = parse_example(tf.constant(encode_example("a-1", pixels, labels)), shape, 6)
    np.testing.assert_array_equal(parsed["pixels"], pixels)
    assert parsed["pixels"].dtype == tf.uint8
    assert np.flatnonzero(parsed["labels"]).tolist() == list(labels)
    assert parsed["id"].numpy() == b"a-1"


def test_an_example_names_its_features_as_documented() -> None:
    example = tf.train.Example.FromString(encode_example("a", np.full((2, 3, 4), 9, np.uint8), (1, 5)))
    features = example.features.feature
    assert features["image/raw"].bytes_list.value == [b"\x09" * 24]
    assert features["image/height"].int64_list.value == [2]
    assert features["image/width"].int64_list.value == [3]
    assert features["image/channels"].int64_list.value == [4]
    assert features["image/filename"].bytes_list.value == [b"a"]
    assert features["image/class/label"].int64_list.value == [1, 5]
    assert len(features) == 6


def test_a_file_has_the_same_bytes_as_from_tensorflow_and_gives_record_offsets(tmp_path: Path) -> None:
    examples = [bytes(size) + bytes(range(size % 256)) for size in (0, 1, 127, 128, 70000)]
    with tf.io.TFRecordWriter(str(tmp_path / "expected")) as expected:
        for example in examples:
            expected.write(example)
    with RecordWriter(tmp_path / "written") as writer:
        starts = [writer.write(frame_record(example)) for example in examples]
    data = (tmp_path / "written").read_bytes()
    assert data == (tmp_path / "expected").read_bytes()
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(tmp_path / "written"))] == examples
    assert (writer.num_records, writer.num_bytes, writer.crc32c) == (5, len(data), storage.crc32c(data))
    for start, example in zip(starts, examples, strict=True):
        assert data[start:].startswith(frame_record(example))


def test_a_file_without_records_is_empty(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "written") as writer:
        pass
    assert (tmp_path / "written").read_bytes() == b""
    assert (writer.num_records, writer.num_bytes, writer.crc32c) == (0, 0, "00000000")


@given(st.binary(max_size=300), st.data())
def test_a_record_with_a_changed_byte_is_damaged(example: bytes, data: st.DataObject) -> None:
    record = bytearray(frame_record(example))
    assert is_whole_record(bytes(record))
    record[data.draw(st.integers(0, len(record) - 1))] ^= data.draw(st.integers(1, 255))
    assert not is_whole_record(bytes(record))


@pytest.mark.parametrize("num_bytes", [0, 1, 7, 8, 11, 12, 15, 16, 18])
def test_a_truncated_record_is_damaged(num_bytes: int) -> None:
    assert not is_whole_record(frame_record(b"abc")[:num_bytes])


def test_two_records_are_not_a_valid_one() -> None:
    assert not is_whole_record(frame_record(b"abc") + frame_record(b"abc"))
