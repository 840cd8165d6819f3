import csv
import shutil
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tensorflow as tf

from components import storage
from components.artifacts.image_names import COMPETITION_NAMES, ImageNames
from components.artifacts.manifest import MODEL_MANIFEST, TrainedModel
from components.images.decode import sample_pixels
from components.serving.champion import Champion, promote
from components.serving.predict.prediction import predict
from components.serving.versions import DONE_MARK
from tests.components.images.tiffs import make_levels, make_ome_tiffs
from tests.components.serving.predict.conftest import CLASS_NAMES, FILTERS, SIDE_PX


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _files(folder: Path, sample_id: str) -> dict[str, bytes]:
    return {name: (folder / f"{sample_id}_{name}.png").read_bytes() for name in FILTERS}


def test_every_sample_gets_the_served_models_predictions(version_dir: Path, cells_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "predictions.csv"
    predicted = predict(str(version_dir), str(cells_dir), str(out))
    assert (predicted.num_good, predicted.num_bad) == (70, 0)
    ids = [f"s{number:02d}" for number in range(70)]
    samples = [_files(cells_dir / "train", sample_id) for sample_id in ids]
    served = tf.saved_model.load(str(version_dir)).signatures
    answer = served["pixels"](pixels=tf.constant(np.stack([sample_pixels(files, FILTERS, SIDE_PX) for files in samples])))
    from_png = served["serving_default"](**{name: tf.constant([files[name] for files in samples]) for name in FILTERS})

    rows = _rows(out)
    assert [row["Id"] for row in rows] == ids
    assert list(rows[0]) == ["Id", "Decisions", *CLASS_NAMES]
    probabilities = np.array([[row[name] for name in CLASS_NAMES] for row in rows], np.float32)
    assert np.allclose(probabilities, answer["probabilities"], atol=1e-6)
    assert np.allclose(probabilities, from_png["probabilities"], atol=0.05)  # another decoder, which averages areas alike
    decided = answer["decisions"].numpy()
    assert 0 < decided.sum() < decided.size
    assert (decided == (probabilities >= np.array([0.4, 0.5, 0.6], np.float32))).all()
    for row, decisions in zip(rows, decided, strict=True):
        assert row["Decisions"] == "; ".join(np.array(CLASS_NAMES)[decisions])

    submission = (tmp_path / "deep" / "predictions.submission.csv").read_text().splitlines()
    targets = [" ".join(map(str, np.flatnonzero(decisions))) for decisions in decided]
    assert submission == ["Id,Predicted", *(f"{sample_id},{target}" for sample_id, target in zip(ids, targets, strict=True))]
    assert (tmp_path / "deep" / "predictions.bad.csv").read_text() == "Id,Reason\n"
    assert sorted(path.name for path in out.parent.iterdir() if path.is_file()) == [
        "predictions.bad.csv",
        "predictions.csv",
        "predictions.distances.csv",
        "predictions.submission.csv",
    ]


def test_images_unlike_the_training_images_are_reported(
    version_with_maps_dir: Path, cells_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    predict(str(version_with_maps_dir), str(cells_dir), str(tmp_path / "p.csv"))
    rows = _rows(tmp_path / "p.distances.csv")
    assert [row["Id"] for row in rows] == [f"s{number:02d}" for number in range(70)]
    assert {row["Unlike"] for row in rows} == {"yes"}  # the model was trained on noise
    assert min(float(row["Distance"]) for row in rows) > 2
    assert "s00, s01, s02 and 67 more: unlike the training images, so the predictions may be wrong" in caplog.text
    assert f"70 of 70 samples, 100.0%; usual is 1%. All distances are in {tmp_path}/p.distances.csv" in caplog.text


def test_files_of_any_format_are_read_as_in_training(version_dir: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(version_dir, model)
    trained = TrainedModel.read(str(model / MODEL_MANIFEST))
    read = {"intensity_range": "0:4095", "projection": "max"}
    (model / MODEL_MANIFEST).write_bytes(trained.model_copy(update=read).to_json())
    stacks = make_ome_tiffs(tmp_path / "stacks", dict.fromkeys("abc", "0"), num_planes=3, side_px=40)
    names = ImageNames("{id}.ome.tif", "red=tub,green=Ab,blue=dapi")
    _assert_alike(model, stacks, names, tmp_path)
    (model / MODEL_MANIFEST).write_bytes(trained.to_json())
    _assert_alike(model, stacks, names, tmp_path, **read)
    with pytest.raises(ValueError, match=r"^intensity_range=auto is for training"):
        predict(str(model), str(stacks), str(tmp_path / "p.csv"), names, "auto")


def test_images_of_another_pixel_size_are_reported(version_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = tmp_path / "model"
    shutil.copytree(version_dir, model)
    trained = TrainedModel.read(str(model / MODEL_MANIFEST))
    (model / MODEL_MANIFEST).write_bytes(trained.model_copy(update={"pixel_size_um": 0.08}).to_json())
    scans = make_ome_tiffs(tmp_path / "scans", {"usual": "0"}, side_px=40)
    make_ome_tiffs(tmp_path / "others", {"large": "0"}, side_px=40, pixel_size_nm=160)
    shutil.copy(tmp_path / "others" / "large.ome.tif", scans)
    names = ImageNames("{id}.ome.tif", "red=tub,green=Ab,blue=dapi")
    assert predict(str(model), str(scans), str(tmp_path / "p.csv"), names, "0:4095").num_good == 2
    assert "1 sample with a pixel size that differs from training (0.08 µm)" in caplog.text
    assert "large (0.16 µm)" in caplog.text


def test_badly_exposed_images_are_reported(version_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scans = make_ome_tiffs(tmp_path / "scans", {"usual": "0"}, side_px=40)
    names = ImageNames("{id}.ome.tif", "red=tub,green=Ab,blue=dapi")
    assert predict(str(version_dir), str(scans), str(tmp_path / "p.csv"), names, "0:4095").num_good == 1
    assert "nearly black" not in caplog.text
    assert predict(str(version_dir), str(scans), str(tmp_path / "q.csv"), names, "0:65535").num_good == 1
    assert "blue: 1 of 1 images look nearly black (usual): 99.9 % of the pixels are below" in caplog.text
    assert "Set intensity_range to the grey levels that your files use" in caplog.text


def _assert_alike(model: Path, stacks: Path, names: ImageNames, tmp_path: Path, **read: str) -> None:
    """Checks that predictions equal those of 8-bit PNG files of the same pixels."""
    pngs = tmp_path / "pngs"
    pngs.mkdir(exist_ok=True)
    for number, sample_id in enumerate("abc"):
        scaled = np.floor(make_levels(number, 3, 40).max(axis=1).astype(float) * 255 / 4095 + 0.5).astype(np.uint8)
        for name, plane in zip(FILTERS, (1, 2, 0), strict=True):
            (pngs / f"{sample_id}_{name}.png").write_bytes(imagecodecs.png_encode(scaled[plane]))
    found = []
    for folder, image_names, options in ((stacks, names, read), (pngs, COMPETITION_NAMES, {"intensity_range": "0:255"})):
        out = tmp_path / "out" / "p.csv"
        assert predict(str(model), str(folder), str(out), image_names, **options).num_bad == 0
        found.append(_rows(out))
        shutil.rmtree(out.parent)
    for one, other in zip(*found, strict=True):
        assert one == other, one["Id"]


def test_bad_images_are_listed_with_the_reason_and_skipped(version_dir: Path, cells_dir: Path, tmp_path: Path) -> None:
    cells = tmp_path / "cells"
    shutil.copytree(cells_dir / "train", cells)
    (cells / "s01_green.png").write_bytes((cells / "s01_green.png").read_bytes()[:500])
    (cells / "s02_blue.png").unlink()
    (cells / "s03_red.png").write_bytes(b"\xff\xd8\xff\xe0 and so on")
    (cells / "s04_red.png").write_bytes(b"")
    with (cells / "s05_red.png").open("r+b") as file:
        file.truncate(4 << 30)  # must not be read into memory
    shutil.copyfile(cells / "s40_red.png", cells / "s40_green.png")
    (cells / "s69_yellow.png").unlink()  # the model does not use it
    (cells / "s70_yellow.png").write_bytes(b"")
    (cells / "notes.txt").write_text("no image")
    shutil.copyfile(cells / "s60_red.png", cells / "s60-red.png")
    (cells / "s97_blue.png").mkdir()
    (cells / "s98_blue.png").symlink_to("s98_blue.png")
    (cells / "s99_blue.png").symlink_to(cells / "nowhere")
    for name in ("red", "green", "blue"):
        shutil.copyfile(cells / f"s50_{name}.png", cells / f"caf\udce9_{name}.png")
        shutil.copyfile(cells / f"s51_{name}.png", cells / f'a, "b" 細胞_{name}.png')
    predicted = predict(str(version_dir), str(cells), str(tmp_path / "p.csv"))
    bad = {row["Id"]: row["Reason"] for row in _rows(tmp_path / "p.bad.csv")}
    assert bad.pop("s60-red.png").startswith("does not match file_pattern={id}_{filter}.png: ")
    assert predicted.num_ignored == 1
    assert bad == {
        "s01": "the green filter is a truncated PNG: its end is missing",
        "s02": "the blue filter is missing",
        "s03": "the red filter is a damaged JPEG: its header is incomplete",
        "s04": "the red filter is an empty file",
        "s05": "4096 MB of images: expected at most 3051 MB a sample",
        "s40": "the red and green filters show the same image",
        "s70": "the red filter is missing",
        "s97": "the blue filter is not a file, but a folder or a broken link",
        "s98": "the blue filter is not a file, but a folder or a broken link",
        "s99": "the blue filter is not a file, but a folder or a broken link",
        "caf\\udce9": "its id is not in UTF-8: rename the file",
    }
    assert (predicted.num_good, predicted.num_bad) == (65, 11)
    good = {row["Id"] for row in _rows(tmp_path / "p.csv")}
    assert len(good) == 65
    assert 'a, "b" 細胞' in good
    submitted = {row["Id"]: row["Predicted"] for row in _rows(tmp_path / "p.submission.csv")}
    assert len(submitted) == 76  # Kaggle rejects a submission with missing samples
    assert {submitted[sample_id] for sample_id in submitted.keys() - good} == {""}


def test_only_bad_samples_are_listed_if_none_can_be_used(
    version_dir: Path, cells_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a_green.png").write_bytes(b"")
    out = str(tmp_path / "p.csv")
    assert predict(str(version_dir), str(tmp_path), out, with_pages=True).num_bad == 1
    assert [path.name for path in tmp_path.glob("p*")] == ["p.bad.csv"]
    assert _rows(tmp_path / "p.bad.csv") == [{"Id": "a", "Reason": "the red filter is missing"}]
    assert "1 sample cannot be used, such as a: the red filter is missing. The reasons are in" in caplog.text
    assert predict(str(version_dir), str(cells_dir), out, with_pages=True).num_good == 70  # nothing is in its way


def test_predictions_are_never_overwritten_except_remains_of_a_kill(version_dir: Path, tmp_path: Path, cells_dir: Path) -> None:
    for name in ("p.submission.csv", "p.bad.csv", "p.distances.csv"):
        (tmp_path / name).write_text("left by a kill")
    predict(str(version_dir), str(cells_dir), str(tmp_path / "p.csv"))
    before = {path: path.read_bytes() for path in tmp_path.glob("p.*")}
    assert len(before) == 4
    assert b"left by a kill" not in before.values()
    with pytest.raises(FileExistsError, match=r"p.csv already exists"):
        predict(str(version_dir), str(cells_dir), str(tmp_path / "p.csv"))
    assert before == {path: path.read_bytes() for path in tmp_path.glob("p.*")}


def test_a_model_that_cannot_be_loaded_writes_nothing(version_dir: Path, cells_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(version_dir, tmp_path / "model")
    (tmp_path / "model" / "variables" / "variables.index").write_bytes(b"damaged")
    with pytest.raises(OSError, match=r"model cannot be used: `python -m pipeline models verify` may say why"):
        predict(str(tmp_path / "model"), str(cells_dir), str(tmp_path / "p.csv"))
    assert not list(tmp_path.glob("p.*"))


def test_a_folder_with_only_a_saved_model_is_refused(cells_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / DONE_MARK).touch()
    with pytest.raises(FileNotFoundError, match=rf"/1 is not a model of this pipeline: expected {MODEL_MANIFEST} in it"):
        predict(str(tmp_path / "1"), str(cells_dir), str(tmp_path / "p.csv"))


@pytest.mark.object_store
def test_model_images_and_predictions_may_be_in_an_object_store(
    version_dir: Path, cells_dir: Path, remote_root: str, tmp_path: Path
) -> None:
    storage.create_tree(version_dir, f"{remote_root}/serving/hpa/1")
    promote(Champion(1, "", "f", "e", generation=""), f"{remote_root}/serving", "hpa")
    storage.create_tree(cells_dir, f"{remote_root}/cells")
    storage.remove(f"{remote_root}/cells/train/s05_red.png")
    predicted = predict(f"{remote_root}/serving/hpa", f"{remote_root}/cells", f"{remote_root}/out/p.csv")
    assert (predicted.num_good, predicted.num_bad) == (69, 1)
    predict(str(version_dir), str(cells_dir), str(tmp_path / "p.csv"))
    expected = [line for line in (tmp_path / "p.csv").read_text().splitlines() if not line.startswith("s05,")]
    assert [line.split(",")[:2] for line in storage.read_bytes(f"{remote_root}/out/p.csv").decode().splitlines()] == [
        line.split(",")[:2] for line in expected
    ]
    assert storage.list_names(f"{remote_root}/out") == ["p.bad.csv", "p.csv", "p.distances.csv", "p.submission.csv"]
    assert storage.read_bytes(f"{remote_root}/out/p.bad.csv") == b"Id,Reason\ns05,the red filter is missing\n"
