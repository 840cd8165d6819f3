from pathlib import Path

import pytest

from components import storage
from components.artifacts.manifest import Examples, Shard


def _examples(uri: str) -> Examples:
    """One shard of one byte in every split."""
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


class TestLocalCopy:
    def test_local_examples_are_used_in_place(self, tmp_path: Path) -> None:
        examples = _examples(str(tmp_path))
        with examples.local_copy(["train"]) as local:
            assert local == examples

    def test_holds_the_splits_that_were_asked_for(self, emulated_root: str) -> None:
        with _examples(emulated_root).local_copy(["train", "test"]) as local:
            paths = [Path(uri) for split in ("train", "test") for uri in local.shard_uris(split)]
            assert [path.read_bytes() for path in paths] == [b"t", b"t"]
            assert sorted(path.name for path in Path(local.uri).iterdir()) == ["test", "train"]
        assert not Path(local.uri).exists()

    def test_missing_or_truncated_shards_are_named(self, tmp_path: Path) -> None:
        examples = _examples(str(tmp_path))
        (tmp_path / "test").write_bytes(b"")
        with (
            pytest.raises(FileNotFoundError, match=f"{tmp_path}: 1 shards are missing .* such as test"),
            examples.local_copy([]),
        ):
            pass

    def test_damaged_shard_is_named(self, emulated_root: str) -> None:
        examples = _examples(emulated_root)
        storage.replace_bytes(storage.join(emulated_root, "train"), b"x")
        with pytest.raises(OSError, match=f"{emulated_root}/train is damaged"), examples.local_copy(["train"]):
            pass
