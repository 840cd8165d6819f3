"""Concurrent identical training runs, and ones that are killed repeatedly."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components import storage
from components.artifacts.manifest import Examples, TrainedModel
from components.convert.transform import ImageMoments, write_transform_graph
from components.train.settings import HISTORY, MODEL
from tests.components.run_step import check_twins, finish, let_go, remove_unfinished, start_step
from tests.conftest import OBJECT_STORES

_ROUNDS = 3
_SMALL, _REAL = "densenet121", "inception_resnet_v2"  # see train_often.py


class _Trainings:
    """Trainings on the same examples, each in a process of its own."""

    def __init__(self, folder: Path, examples: Examples, transform_graph: Path) -> None:
        self._folder, self._transform_graph = folder, transform_graph
        self._num_started = 0
        (folder / "examples").write_bytes(examples.to_json())

    def start(self, data_root: str, backbone: str, **parameters: object) -> subprocess.Popen[str]:
        self._num_started += 1
        return start_step(
            "train",
            self._folder / f"outputs{self._num_started}",
            "tests.components.train.train_often",
            examples=str(self._folder / "examples"),
            transform_graph=str(self._transform_graph),
            data_root=data_root,
            serving_root=f"{data_root}/serving",
            recipe="strong",
            backbone=backbone,
            weights="none",
            learning_rate=0.01,
            **parameters,
        )


@pytest.fixture
def trainings(tmp_path: Path, examples: Examples, transform_graph: Path, temporary: Path) -> _Trainings:
    return _Trainings(tmp_path, examples, transform_graph)


def _published(data_root: str) -> dict[str, object]:
    """The curves and the weights file of the only training below `data_root`. Fails if any other file is left."""
    (name,) = storage.list_names(f"{data_root}/training")
    uri = f"{data_root}/training/{name}"
    trained = TrainedModel.find(uri)
    assert trained
    assert set(storage.list_names(uri)) == {"manifest.json", "logs", f"attempt-{trained.attempt}"}
    assert storage.find_unfinished(uri) == []
    assert set(storage.list_tree(trained.file_uri())) == set(trained.files)
    for file in trained.files:
        trained.read_file(file)
    weights = trained.read_file(f"{MODEL}/variables/variables.data-00000-of-00001")
    return {"curves": json.loads(trained.read_file(HISTORY))["curves"], "weights": weights}


@pytest.mark.long
@pytest.mark.parametrize("root", ["local_root", *OBJECT_STORES])
def test_identical_trainings_at_once_give_the_model_of_one(
    trainings: _Trainings, root: str, request: pytest.FixtureRequest, temporary: Path
) -> None:
    """Identical training runs at the same time succeed, give the model of one and leave nothing else, also if one is killed."""
    check_twins(
        lambda data_root: trainings.start(data_root, _SMALL, epochs=3, batch_size=16),
        _published,
        request.getfixturevalue(root),
        _ROUNDS,
        "this model is already trained",
    )
    assert not list(temporary.rglob("files/*"))


@pytest.fixture
def large_trainings(tmp_path: Path, publish_examples: Callable[..., Examples], temporary: Path) -> _Trainings:
    """Trainings on images of 75 pixels: 32 to train on, 16 for validation."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 75, 75, 3), dtype=np.uint8)
    samples = [(f"s{number:02d}", image, [number % 3]) for number, image in enumerate(pixels)]
    examples = publish_examples(tmp_path / "e", {"train": [samples[:32]], "validation": [samples[32:]]}, ["a", "b", "c"])
    moments = [
        ImageMoments(tuple(image.mean((0, 1))), tuple(np.square(image.astype(float)).mean((0, 1))), tuple(labels))
        for _, image, labels in samples[:32]
    ]
    write_transform_graph(moments, 3, tmp_path / "graph")
    return _Trainings(tmp_path, examples, tmp_path / "graph")


def _num_steps(data_root: str) -> int:
    """The number of steps in the newest checkpoint."""
    return max(
        (int(mark.parent.name[:9]) for mark in Path(data_root).glob("training/*/checkpoints/*/*/checkpoint.json")), default=0
    )


def _wait_for_step(data_root: str, step: int, training: subprocess.Popen[str]) -> None:
    while _num_steps(data_root) < step:
        assert training.poll() is None
        time.sleep(0.05)


@pytest.mark.long
def test_inception_resnet_v2_killed_ten_times_ends_with_the_same_weights(
    large_trainings: _Trainings, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """InceptionResNetV2, killed ten times in training and export, ends with the curves and weights of an uninterrupted run."""
    num_epochs, num_steps = 3, 12
    options = {"epochs": num_epochs, "batch_size": 32 * num_epochs // num_steps}

    def start(data_root: str) -> subprocess.Popen[str]:
        training = large_trainings.start(data_root, _REAL, **options)
        let_go(training)
        return training

    whole = start(str(tmp_path / "whole"))
    _wait_for_step(str(tmp_path / "whole"), num_steps, whole)
    trained_s = time.monotonic()
    finish(whole)
    export_s = time.monotonic() - trained_s
    data_root, chance = str(tmp_path / "killed"), random.Random(0)
    # The step after which each kill comes, and the seconds after it.
    kills = [(step, 2 * chance.random()) for step in (0, 1, 3, 4, 6, 8, 9, 11)]
    kills += [(num_steps, export_s * share) for share in (0.2, 0.7)]
    killed_at = []
    for step, seconds in kills:
        training = start(data_root)
        _wait_for_step(data_root, step, training)
        time.sleep(seconds)
        training.kill()
        training.communicate()
        assert training.returncode == -signal.SIGKILL
        killed_at.append(str(_num_steps(data_root)))
    assert "resuming after step 12" in finish(start(data_root))
    remove_unfinished(data_root)
    assert _published(data_root) == _published(str(tmp_path / "whole"))
    record_property("figure", f"killed after the steps {', '.join(killed_at)} of {num_steps}")
