import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from components import storage
from components.artifacts.damage import DamagedFileError
from components.artifacts.image_names import ImageNames
from components.artifacts.index import ImageFile, Sample, read_index
from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.artifacts.manifest import RawImages
from components.ingest.raw import ingest_images, newest_version
from components.ingest.sources.folder import Folder
from components.ingest.sources.label_table import LabelTable
from components.ingest.sources.source import SourceImage
from components.ingest.sources.synthetic import Synthetic
from tests.components.conftest import arithmetic_pixels
from tests.components.images.tiffs import make_ome_tiffs

MakeFolder = Callable[..., Path]
MakePng = Callable[[np.ndarray], bytes]
_ROOT = Path(__file__).parents[3]


def _ingest(folder: Path, data_root: Path) -> RawImages:
    return ingest_images(Folder(str(folder), CLASS_NAMES), f"dir:{folder}", str(data_root), list(CLASS_NAMES))


def _stored(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".partial" not in path.parts)
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def _samples(version: RawImages) -> dict[str, Sample]:
    return {sample.sample_id: sample for sample in read_index(version.index_uri)}


def _append(folder: Path, other: Path) -> None:
    """Adds another folder's samples."""
    shutil.copytree(other / "train", folder / "train", dirs_exist_ok=True)
    rows = (other / "train.csv").read_text().splitlines(keepends=True)[1:]
    with (folder / "train.csv").open("a") as file:
        file.writelines(rows)


class TestIngest:
    def test_stores_every_image_unchanged_and_lists_it(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"b": "16 0", "a": "1"})
        version = _ingest(folder, tmp_path / "data")
        samples = read_index(version.index_uri)
        assert [(s.sample_id, s.labels, s.batch, s.reason) for s in samples] == [("a", (1,), 0, ""), ("b", (0, 16), 0, "")]
        for sample in samples:
            assert tuple(sample.files) == FILTERS
            for name, file in sample.files.items():
                received = (folder / "train" / f"{sample.sample_id}_{name}.png").read_bytes()
                assert file.name == f"{sample.sample_id}_{name}.png"
                assert storage.read_bytes(storage.join(version.images_uri, file.name)) == received
                assert (file.num_bytes, file.crc32c) == (len(received), storage.crc32c(received))
        assert (version.num_samples, version.num_bad, version.num_incomplete, version.num_without_files) == (2, 0, 0, 0)
        assert version.num_bytes == sum(path.stat().st_size for path in (folder / "train").iterdir())
        assert version.source == f"dir:{folder}"
        assert version.class_names == list(CLASS_NAMES)

    def test_stores_a_file_with_all_channels_once_for_all_filters(self, tmp_path: Path) -> None:
        folder = make_ome_tiffs(tmp_path / "cells", {"a": "0", "b": "1"})
        (folder / "b.ome.tif").write_bytes(b"GIF89a, really")
        source = Folder(str(folder), CLASS_NAMES, image_names=ImageNames("{id}.ome.tif", "red=Tub,green=2,blue=DAPI"))
        version = ingest_images(source, "dir:cells", str(tmp_path / "data"), list(CLASS_NAMES))
        data = (folder / "a.ome.tif").read_bytes()
        good, bad = read_index(version.index_uri)
        assert good.files == dict.fromkeys(FILTERS[:3], ImageFile("a.tif", len(data), storage.crc32c(data)))
        assert bad.reason == "the red filter is a GIF file: expected PNG, TIFF, OME-TIFF or JPEG"
        assert _stored(Path(version.images_uri)).keys() == {"a.tif"}
        assert version.channels == {"red": "Tub", "green": "2", "blue": "DAPI"}
        assert (version.num_bytes, version.num_incomplete) == (len(data), 0)

    def test_of_other_channels_of_the_same_files_is_another_version(self, tmp_path: Path) -> None:
        folder = make_ome_tiffs(tmp_path / "cells", {"a": "0"})
        names = [ImageNames("{id}.ome.tif", f"red={red},green=2,blue=DAPI") for red in ("Tub", "3")]
        versions = [
            ingest_images(Folder(str(folder), CLASS_NAMES, image_names=each), "dir:cells", str(tmp_path / "data"), ["x"])
            for each in names
        ]
        assert versions[0].fingerprint != versions[1].fingerprint
        assert len(_stored(Path(versions[0].images_uri))) == 1

    def test_counts_flawed_samples(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1", "c": "2", "d": "99", "e": "3"})
        (folder / "train" / "b_yellow.png").unlink()
        (folder / "train" / "c_red.png").write_bytes(b"GIF89a, really")
        for path in (folder / "train").glob("e_*"):
            path.unlink()
        version = _ingest(folder, tmp_path / "data")
        samples = _samples(version)
        assert (version.num_samples, version.num_bad, version.num_incomplete, version.num_without_files) == (4, 2, 2, 1)
        assert samples["a"].reason == samples["b"].reason == ""
        assert samples["b"].files.keys() == {"red", "green", "blue"}
        assert samples["c"].reason == "the red filter is a GIF file: expected PNG, TIFF, OME-TIFF or JPEG"
        assert "unknown class" in samples["d"].reason
        assert samples["d"].files == {}

    def test_never_writes_outside_its_folder(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0"})
        with (folder / "train.csv").open("a") as file:
            file.write("../../escaped,1\n")
        (tmp_path / "cells" / "train" / ".." / "escaped_green.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        version = _ingest(folder, tmp_path / "data")
        assert _samples(version)["../../escaped"].files == {}
        assert all("escaped" not in name for name in _stored(tmp_path / "data"))

    def test_stores_unusual_ids_under_safe_names(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        ids = ["Müller 6", "well A1 (2)", "plain_1"]
        version = _ingest(make_folder(tmp_path / "cells", dict.fromkeys(ids, "0")), tmp_path / "data")
        assert sorted(_samples(version)) == sorted(ids)
        names = {sample.sample_id: sample.files["red"].name for sample in _samples(version).values()}
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names.values())
        assert names["plain_1"] == "plain_1_red.png"
        for sample_id, name in names.items():
            received = (tmp_path / "cells" / "train" / f"{sample_id}_red.png").read_bytes()
            assert Path(version.images_uri, name).read_bytes() == received

    def test_keeps_groups_and_other_columns(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
        plain = _ingest(folder, tmp_path / "data")
        (folder / "train.csv").write_text("Id,Plate,Target,Note\na,P1,0,good\nb,P2,1,\n")
        source = Folder(str(folder), CLASS_NAMES, table=LabelTable(group_column="plate"))
        grouped = ingest_images(source, "dir:x", str(tmp_path / "data"), list(CLASS_NAMES))
        found = {name: (sample.group, sample.columns) for name, sample in _samples(grouped).items()}
        assert found == {"a": ("P1", {"Plate": "P1", "Note": "good"}), "b": ("P2", {"Plate": "P2"})}
        ungrouped = _ingest(folder, tmp_path / "data")
        assert len({plain.fingerprint, grouped.fingerprint, ungrouped.fingerprint}) == 3

    def test_of_an_unchanged_source_returns_at_once_and_stores_nothing(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
        first = _ingest(folder, tmp_path / "data")
        before = _stored(tmp_path / "data")

        class Unread(Folder):
            def read(self, images: Sequence[SourceImage]) -> Iterator[tuple[SourceImage, bytes]]:
                raise AssertionError(f"{images} were read again")

        second = ingest_images(Unread(str(folder), CLASS_NAMES), f"dir:{folder}", str(tmp_path / "data"), list(CLASS_NAMES))
        assert second == first
        assert _stored(tmp_path / "data") == before

    def test_of_the_same_content_with_other_file_times_is_the_same_version(
        self, tmp_path: Path, make_folder: MakeFolder
    ) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
        first = _ingest(folder, tmp_path / "data")
        before = _stored(tmp_path / "data")
        for path in (folder / "train").iterdir():
            os.utime(path, ns=(1, 1))
        assert _ingest(folder, tmp_path / "data") == first
        after = _stored(tmp_path / "data")
        assert {name: after[name] for name in before} == before
        assert [name.rpartition("/")[0].rpartition("/")[2] for name in after.keys() - before.keys()] == ["seen"]
        assert _ingest(folder, tmp_path / "data") == first  # by the new validator
        assert _stored(tmp_path / "data") == after

    def test_gives_only_new_samples_the_next_batch(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"m": "0", "n": "1"})
        versions = [_ingest(folder, tmp_path / "data")]
        for targets in ({"a": "2"}, {"o": "3", "b": "4"}):
            before = _stored(tmp_path / "data")
            _append(folder, make_folder(tmp_path / "_".join(targets), targets))
            versions.append(_ingest(folder, tmp_path / "data"))
            after = _stored(tmp_path / "data")
            assert {name: after[name] for name in before} == before
        assert {name: s.batch for name, s in _samples(versions[2]).items()} == {"a": 1, "b": 2, "m": 0, "n": 0, "o": 2}
        assert [version.version for version in versions] == [0, 1, 2]
        assert len({version.fingerprint for version in versions}) == 3
        assert newest_version(versions[0].uri) == versions[2]
        assert _samples(versions[0]).keys() == {"m", "n"}  # published files are unchanged

    def test_keeps_both_versions_of_a_changed_image(self, tmp_path: Path, make_folder: MakeFolder, make_png: MakePng) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
        first = _ingest(folder, tmp_path / "data")
        image = folder / "train" / "a_green.png"
        old, new = image.read_bytes(), make_png(np.zeros((128, 128), np.uint8))
        image.write_bytes(new)
        second = _ingest(folder, tmp_path / "data")
        name = f"a_green.{storage.crc32c(new)}.png"
        assert _samples(second)["a"].files["green"].name == name
        assert storage.read_bytes(storage.join(second.images_uri, name)) == new
        assert storage.read_bytes(storage.join(first.images_uri, "a_green.png")) == old
        assert _samples(second)["a"].files["red"] == _samples(first)["a"].files["red"]
        assert _samples(second)["b"] == _samples(first)["b"]
        image.write_bytes(old)
        assert _ingest(folder, tmp_path / "data") == first

    def test_names_the_damaged_stored_file(self, tmp_path: Path, make_folder: MakeFolder, make_png: MakePng) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0"})
        _ingest(folder, tmp_path / "data")
        image = folder / "train" / "a_green.png"
        image.write_bytes(make_png(np.zeros((128, 128), np.uint8)))
        version = _ingest(folder, tmp_path / "data")
        damaged = Path(version.images_uri, _samples(version)["a"].files["green"].name)
        damaged.write_bytes(b"damaged")
        os.utime(image, ns=(1, 1))
        with pytest.raises(FileExistsError, match=f"{damaged} is damaged: expected the CRC-32C in its name"):
            _ingest(folder, tmp_path / "data")


class TestFingerprint:
    def test_does_not_depend_on_path_time_or_order(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        targets = {f"s{number}": str(number) for number in range(5)}
        one = _ingest(make_folder(tmp_path / "one", targets), tmp_path / "data")
        folder = make_folder(tmp_path / "deep" / "other", dict(reversed(targets.items())))
        for path in folder.rglob("*"):
            os.utime(path, ns=(1, 1))
        other = _ingest(folder, tmp_path / "elsewhere")
        assert one.fingerprint == other.fingerprint
        assert storage.read_bytes(one.index_uri) == storage.read_bytes(other.index_uri)

    @pytest.mark.parametrize("change", ["label", "image", "sample", "class name"])
    def test_depends_on_content(self, tmp_path: Path, make_folder: MakeFolder, change: str) -> None:
        folder = make_folder(tmp_path / "one", {"a": "0", "b": "1"})
        first = _ingest(folder, tmp_path / "data")
        names = list(CLASS_NAMES)
        if change == "label":
            (folder / "train.csv").write_text("Id,Target\na,0\nb,2\n")
        elif change == "image":
            shutil.copy(folder / "train" / "a_red.png", folder / "train" / "b_red.png")
        elif change == "sample":
            (folder / "train.csv").write_text("Id,Target\na,0\n")
        else:
            names[0] = "another name"
        other = ingest_images(Folder(str(folder), CLASS_NAMES), "dir:x", str(tmp_path / "data2"), names)
        assert other.fingerprint != first.fingerprint


def test_a_deleted_image_is_ingested_again(tmp_path: Path, make_folder: MakeFolder) -> None:
    folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
    first = _ingest(folder, tmp_path / "data")
    image = Path(first.images_uri, "a_red.png")
    image.unlink()
    assert _ingest(folder, tmp_path / "data") == first
    assert image.read_bytes() == (folder / "train" / "a_red.png").read_bytes()


def test_a_damaged_index_or_manifest_is_named_and_recreated_once_deleted(tmp_path: Path, make_folder: MakeFolder) -> None:
    folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
    first = _ingest(folder, tmp_path / "data")
    (note,) = Path(first.uri, "index", "seen").glob("[!.]*")
    for path in (Path(first.index_uri), Path(first.uri, "index", f"{first.fingerprint}.json")):
        content = path.read_bytes()
        path.write_bytes(content[:-9])
        with pytest.raises(DamagedFileError, match=rf"{path.name}: expected .*delete it and run again"):
            _ingest(folder, tmp_path / "data")
        path.unlink()
        assert _ingest(folder, tmp_path / "data") == first
        assert path.read_bytes() == content
    for damage in (b"", b"\xff\0", b"../../x"):
        note.write_bytes(damage)
        assert _ingest(folder, tmp_path / "data") == first
        assert note.read_text() == first.fingerprint


def test_a_truncated_image_is_named(tmp_path: Path, make_folder: MakeFolder) -> None:
    folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
    first = _ingest(folder, tmp_path / "data")
    Path(first.images_uri, "a_red.png").write_bytes(b"x")
    with pytest.raises(
        OSError,
        match=r"a_red\.png is damaged: expected \d+ bytes, CRC-32C \w+\. Received: 1 bytes, .*\. Delete it and run again",
    ):
        _ingest(folder, tmp_path / "data")


def test_a_source_that_reverts_to_an_old_version_is_found_at_once(tmp_path: Path) -> None:
    names = list(CLASS_NAMES)
    versions = [ingest_images(Synthetic(n, series=0), f"synthetic:{n}", str(tmp_path), names) for n in (4, 3, 4)]
    assert versions[2] == versions[0]


# A source that hangs after 12 samples, like a slow network.
_STUCK_INGEST = """
import os, sys, time
from pathlib import Path
from components.ingest.sources.folder import Folder
from components.ingest.raw import ingest_images
from components.artifacts.labels import CLASS_NAMES

class Stuck(Folder):
    def chunks(self):
        return ([image] for chunk in super().chunks() for image in chunk)

    def read(self, images):
        if images and images[0].sample_id > "s11":
            os.write(1, b"stuck\\n")  # at once, whatever other threads write
            time.sleep(60)
        return super().read(images)

if __name__ == "__main__":
    ingest_images(Stuck(sys.argv[1], CLASS_NAMES), "dir:" + sys.argv[1], sys.argv[2], list(CLASS_NAMES))
"""


def test_a_killed_ingest_that_runs_again_equals_an_undisturbed_one(tmp_path: Path, make_folder: MakeFolder) -> None:
    folder = make_folder(tmp_path / "cells", {f"s{number:02d}": str(number % 28) for number in range(24)})
    program = tmp_path / "stuck.py"
    program.write_text(_STUCK_INGEST)
    with subprocess.Popen(
        [sys.executable, str(program), str(folder), str(tmp_path / "killed")],
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        process.kill()
        # The worker processes share the pipe, so this returns only once all of them have ended.
        process.communicate(timeout=30)
    left = _stored(tmp_path / "killed")
    assert 0 < len(left) < 24 * len(FILTERS)
    assert not [name for name in left if "/index/" in name]

    again, undisturbed = (_ingest(folder, tmp_path / name) for name in ("killed", "undisturbed"))
    assert again == undisturbed.model_copy(update={"uri": again.uri})
    contents = [{name: data for name, (data, _) in _stored(tmp_path / root).items()} for root in ("killed", "undisturbed")]
    assert contents[0] == contents[1]
    assert {name: _stored(tmp_path / "killed")[name] for name in left} == left  # nothing was stored twice
    # No unfinished file is left either.
    assert {path.name for path in Path(again.images_uri).glob(".partial/*/*")} <= {"lock"}


def test_the_index_changes_only_with_format(tmp_path: Path, make_stored_png: MakePng) -> None:
    """If this fails because the index was changed on purpose: increment FORMAT in raw.py, and update the digests here."""
    (tmp_path / "cells").mkdir()
    rows: Mapping[str, str] = {"s0": "0", "s1": "16 0", "s2": "99", "s3": "5"}
    (tmp_path / "cells" / "train.csv").write_text("Id,Target\n" + "".join(f"{name},{rows[name]}\n" for name in rows))
    for number, sample_id in enumerate(rows):
        for position, name in enumerate(FILTERS):
            if (sample_id, name) != ("s3", "yellow"):
                data = make_stored_png(arithmetic_pixels(4 * number + position))
                (tmp_path / "cells" / f"{sample_id}_{name}.png").write_bytes(data)
    (tmp_path / "cells" / "s1_red.png").write_bytes(b"no PNG")
    version = _ingest(tmp_path / "cells", tmp_path / "data")
    # The compressed bytes may differ between versions of zlib.
    text = gzip.decompress(storage.read_bytes(version.index_uri))
    assert version.fingerprint == "2d6d0bd878138a67"
    assert hashlib.sha256(text).hexdigest() == "43e1f3d71205d1f14ee40adebc4c915a9d594e8bd8b2320b7dc9ec89c3e99f64"
