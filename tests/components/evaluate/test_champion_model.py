from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components import storage
from components.artifacts.examples import open_splits
from components.artifacts.manifest import Examples
from components.evaluate.champion_model import DamagedChampionError, ServedChampion, read_champion
from components.serving.champion import Champion
from components.serving.versions import RECORD

MakeExamples = Callable[..., Examples]
MakeChampion = Callable[..., Champion]
Read = Callable[[Champion], ServedChampion]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a champion into a new folder."""
    return lambda champion: read_champion(champion, tmp_path / f"copy of {champion.uri.replace('/', '-')}")


def test_the_champions_thresholds_and_training_ids_are_read(make_champion: MakeChampion, tmp_path: Path, read: Read) -> None:
    served = read(make_champion(tmp_path, thresholds=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), training_ids=("a b", "c")))
    assert (served.version, served.trained.fingerprint, served.is_verified) == (3, "champion0", True)
    assert served.thresholds.tolist() == np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], np.float32).tolist()
    assert served.training_ids == {"a b", "c"}
    assert (served.folder / "saved_model.pb").is_file()


def test_examples_that_do_not_fit_are_an_obstacle_that_names_the_differences(
    make_champion: MakeChampion, make_examples: MakeExamples, tmp_path: Path, read: Read
) -> None:
    examples = make_examples(tmp_path, {"train": 1, "validation": 1, "test": 1})
    assert read(make_champion(tmp_path / "same")).obstacle(examples) == ""
    other = read(make_champion(tmp_path / "other", class_names=["Nucleus", "Cytosol"], image_size_px=75, thresholds=(0.5, 0.5)))
    assert other.obstacle(examples) == (
        "its classes are Nucleus, Cytosol, but those of the examples are Nucleus, Cytosol, Vesicles, Rods & rings, Aggresome, "
        "Mitochondria; its pixels per side are 75, but those of the examples are 8"
    )
    grey = examples.model_copy(update={"channels": ["green"]})
    words = read(make_champion(tmp_path / "grey")).obstacle(grey)
    assert "its channels are red, green, blue, but those of the examples are green" in words


def _spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("harm", [Path.unlink, _spoil])
@pytest.mark.parametrize(
    "name", ["assets/thresholds.csv", "assets.extra/model.json", "assets.extra/training_ids.txt", "saved_model.pb"]
)
def test_a_missing_or_damaged_file_is_named(
    make_champion: MakeChampion, tmp_path: Path, read: Read, name: str, harm: Callable[[Path], None]
) -> None:
    champion = make_champion(tmp_path)
    harm(Path(champion.uri, name))
    with pytest.raises(DamagedChampionError, match=rf"in .*hpa/3, {name} (is missing|has other content).*models verify"):
        read(champion)


def test_the_missing_files_of_a_removed_folder_are_named(make_champion: MakeChampion, tmp_path: Path, read: Read) -> None:
    champion = make_champion(tmp_path)
    storage.remove_tree(champion.uri)
    with pytest.raises(DamagedChampionError, match=r"saved_model.pb is missing; assets.extra/model.json is missing"):
        read(champion)


def test_a_champion_without_a_record_is_used_if_possible(
    make_champion: MakeChampion, make_examples: MakeExamples, tmp_path: Path, read: Read
) -> None:
    """Like one that was placed by hand."""
    champion = make_champion(tmp_path)
    Path(champion.uri, RECORD).unlink()
    assert not read(champion).is_verified
    Path(champion.uri, "saved_model.pb").write_bytes(b"no model")
    examples = make_examples(tmp_path, {"train": 1, "validation": 1, "test": 1})
    with open_splits(examples, ["test"]) as splits, pytest.raises(DamagedChampionError, match="it cannot be run: "):
        read(champion).score(splits["test"])
    Path(champion.uri, "assets", "thresholds.csv").write_text("0.5\nnan\n")
    with pytest.raises(DamagedChampionError, match=r"its thresholds are 0.5, nan, not one number for each of its classes"):
        read(champion)
    Path(champion.uri, RECORD).write_text("{}")
    with pytest.raises(DamagedChampionError, match="its record of checksums is damaged"):
        read(champion)


def test_outputs_that_are_not_numbers_are_reported(
    make_champion: MakeChampion, make_examples: MakeExamples, tmp_path: Path, read: Read
) -> None:
    champion = read(make_champion(tmp_path, says_nan=True))
    with (
        open_splits(make_examples(tmp_path), ["test"]) as splits,
        pytest.raises(DamagedChampionError, match=r"\d+ of its 720 outputs are not numbers from 0 to 1"),
    ):
        champion.score(splits["test"])
