from pathlib import Path

import pytest

from components import storage
from components.artifacts.manifest import Examples, Shard
from components.artifacts.staging import staged


def _examples(uri: str) -> Examples:
    """One record file on every side, of a byte each."""
    shards = {}
    for split in ("train", "validation", "test"):
        storage.write_bytes(storage.join(uri, split), split[:1].encode())
        shards[split] = [Shard(name=split, num_records=1, num_bytes=1, crc32c=storage.crc32c(split[:1].encode()))]
    return Examples(
        fingerprint="0",
        inputs={},
        parameters={},
        source="dir:cells",
        licence="CC BY-SA",
        uri=uri,
        image_size_px=75,
        channels=["red"],
        class_names=["Nucleoplasm"],
        shards=shards,
        num_quarantined=0,
    )


def test_what_is_on_this_machine_is_read_where_it_is(tmp_path: Path) -> None:
    examples = _examples(str(tmp_path))
    with staged(examples, ["train"]) as local:
        assert local == examples


def test_what_is_asked_for_is_brought_from_an_object_store_and_removed_again(emulated_root: str) -> None:
    with staged(_examples(emulated_root), ["train", "test"]) as local:
        paths = [Path(uri) for split in ("train", "test") for uri in local.shard_uris(split)]
        assert [path.read_bytes() for path in paths] == [b"t", b"t"]
        assert sorted(path.name for path in Path(local.uri).iterdir()) == ["test", "train"]
    assert not Path(local.uri).exists()


def test_what_is_missing_or_cut_off_is_named(tmp_path: Path) -> None:
    examples = _examples(str(tmp_path))
    (tmp_path / "test").write_bytes(b"")
    with (
        pytest.raises(FileNotFoundError, match=f"{tmp_path}: 1 shards are missing .* such as test"),
        staged(examples, []),
    ):
        pass


def test_what_is_damaged_is_named(emulated_root: str) -> None:
    examples = _examples(emulated_root)
    storage.replace_bytes(storage.join(emulated_root, "train"), b"x")
    with pytest.raises(OSError, match=f"{emulated_root}/train is damaged"), staged(examples, ["train"]):
        pass
