import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components import storage
from components.artifacts.manifest import MODEL_EVALUATION, MODEL_MANIFEST
from components.serving import promotion
from components.serving.champion import Champion, find_champion
from components.serving.inspection import verify_models
from components.serving.promotion import KEPT_VERSIONS, Pushed, SupersededError, push_model, rollback
from components.serving.versions import RECORD, check_version, find_versions
from components.storage import SwappedMeanwhileError
from tests import object_stores
from tests.components.conftest import MakeModel, blessing, champion_generation
from tests.components.damaged_files import changed_json, check_damaged
from tests.object_stores import Fault, Faults


def _push(model: Path, serving: str, thresholds: Sequence[float] = (0.5, 0.5), generation: str | None = None) -> Pushed:
    """Pushes a model that was judged against the current champion, or against the one of `generation`."""
    judged = champion_generation(serving) if generation is None else generation
    return push_model(model, blessing(f"evaluation of {model.name}", judged, thresholds), serving, "hpa")


def _champion(serving: str) -> Champion:
    champion = find_champion(serving, "hpa")
    assert champion
    return champion


def _assert_served(serving: str, number: int, model: Path, thresholds: str = "0.5\n0.5\n") -> None:
    """Whether the champion has this number, is the highest complete version, and has the model's files."""
    champion = _champion(serving)
    assert (champion.version, champion.model_fingerprint) == (number, model.name)
    assert max(version.number for version in find_versions(f"{serving}/hpa") if version.is_complete) == number
    for path in (path for path in model.rglob("*") if path.is_file()):
        name = path.relative_to(model).as_posix()
        expected = thresholds.encode() if name == "assets/thresholds.csv" else path.read_bytes()
        assert storage.read_bytes(f"{champion.uri}/{name}") == expected, name


def _assert_replaced(serving: str, pushed: Pushed, number: int, model: Path) -> None:
    """Whether a new version is served, and nothing else is left than the one before it."""
    assert pushed == Pushed(number, f"{serving}/hpa/{number}", is_new=True)
    _assert_served(serving, number, model)
    assert set(storage.list_names(f"{serving}/hpa")) == {str(number - 1), str(number), "champion.json"}


def _whole_folders(model_uri: str) -> dict[str, bool]:
    """Every folder that TensorFlow Serving would look at, and whether its model is complete."""
    return {version.uri: version.is_complete for version in find_versions(model_uri)}


def _names(serving: str) -> list[str]:
    return [name for name in storage.list_names(f"{serving}/hpa") if not name.startswith(".")]


def _begin(serving: str, number: int) -> None:
    """A version that was begun but not finished."""
    storage.write_bytes(f"{serving}/hpa/{number}/assets/classes.csv", b"")


_LOST = {"request": object_stores.reset, "answer": object_stores.reset_after_it_is_done}


@pytest.fixture
def two_kept_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the champion and one more version."""
    monkeypatch.setattr(promotion, "KEPT_VERSIONS", 2)


@pytest.fixture
def serving(tmp_path: Path) -> str:
    return str(tmp_path / "serving")


def test_a_push_makes_a_version_with_the_fitted_thresholds_its_checksums_and_the_pointer(
    make_model: MakeModel, serving: str
) -> None:
    model = make_model("f1")
    pushed = _push(model, serving, [0.25, 0.75])
    assert pushed == Pushed(1, f"{serving}/hpa/1", is_new=True)
    _assert_served(serving, 1, model, "0.25\n0.75\n")
    record = json.loads(Path(pushed.uri, "assets.extra", "pushed.json").read_text())
    assert record["evaluation_fingerprint"] == "evaluation of f1"
    of_model = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert set(record["files"]) == of_model | {MODEL_EVALUATION}
    assert record["files"][MODEL_MANIFEST] == storage.file_crc32c(model / MODEL_MANIFEST)
    assert record["files"]["assets/thresholds.csv"] == storage.crc32c(b"0.25\n0.75\n")
    assert _champion(serving).evaluation_fingerprint == "evaluation of f1"


def test_a_repeated_push_finds_its_version_and_another_model_gets_the_next(make_model: MakeModel, serving: str) -> None:
    first, second = make_model("f1"), make_model("f2")
    pushed = [_push(model, serving) for model in (first, first, second, second)]
    pushed.append(_push(second, serving, generation=""))  # as in a run that reuses its evaluation
    assert [(one.number, one.is_new) for one in pushed] == [(1, True), (1, False), (2, True), (2, False), (2, False)]
    assert _names(serving) == ["1", "2", "champion.json"]
    _assert_served(serving, 2, second)


def test_the_same_model_with_other_thresholds_is_another_version(make_model: MakeModel, serving: str) -> None:
    model = make_model("f1")
    pushed = [_push(model, serving, thresholds) for thresholds in ((0.5, 0.5), (0.5, 0.25), (0.5, 0.25))]
    assert [(one.number, one.is_new) for one in pushed] == [(1, True), (2, True), (2, False)]
    _assert_served(serving, 2, model, "0.5\n0.25\n")


def test_a_push_that_was_judged_against_another_champion_leaves_nothing(make_model: MakeModel, serving: str) -> None:
    model = make_model("f1")
    _push(model, serving)
    with pytest.raises(SwappedMeanwhileError, match=r"the champion has changed since.*now version 1 is the champion"):
        _push(make_model("f2"), serving, generation="")
    assert _names(serving) == ["1", "champion.json"]
    shutil.rmtree(serving)
    with pytest.raises(SwappedMeanwhileError, match="now there is no champion"):
        _push(make_model("f2"), serving, generation="abc")


def test_a_push_that_loses_the_swap_removes_its_version(
    make_model: MakeModel, serving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, late, fast = make_model("f1"), make_model("late"), make_model("fast")
    _push(first, serving)
    promote = promotion.promote

    def push_before(champion: Champion, serving_root: str, model_name: str) -> None:
        monkeypatch.setattr(promotion, "promote", promote)
        _push(fast, serving)
        promote(champion, serving_root, model_name)

    monkeypatch.setattr(promotion, "promote", push_before)
    with pytest.raises(SwappedMeanwhileError, match="now version 3 is the champion"):
        _push(late, serving)
    assert _names(serving) == ["1", "3", "champion.json"]
    _assert_served(serving, 3, fast)


def _push_at_once(models: Sequence[Path], serving: str) -> list[Pushed | SwappedMeanwhileError]:
    generation = champion_generation(serving)

    def push(model: Path) -> Pushed | SwappedMeanwhileError:
        try:
            return _push(model, serving, generation=generation)
        except SwappedMeanwhileError as error:
            return error

    with ThreadPoolExecutor(len(models)) as pool:
        return list(pool.map(push, models))


def _of_two_at_once_one_wins(make_model: MakeModel, serving: str, rounds: int) -> None:
    for number in range(rounds):
        models = [make_model(f"f{number}-{letter}") for letter in "ab"]
        outcomes = _push_at_once(models, serving)
        ((winner, pushed),) = [pair for pair in zip(models, outcomes, strict=True) if isinstance(pair[1], Pushed)]
        assert pushed.is_new
        _assert_served(serving, pushed.number, winner)


def test_one_of_two_concurrent_pushes_wins(make_model: MakeModel, serving: str) -> None:
    _of_two_at_once_one_wins(make_model, serving, rounds=10)


def test_two_concurrent_equal_pushes_make_one_version(make_model: MakeModel, serving: str) -> None:
    for number in range(1, KEPT_VERSIONS + 1):
        model = make_model(f"f{number}")
        outcomes = _push_at_once([model, model], serving)
        assert {type(outcome) for outcome in outcomes} == {Pushed}, outcomes
        _assert_served(serving, _champion(serving).version, model)
        assert len(find_versions(f"{serving}/hpa")) == number


def test_concurrent_first_pushes_record_no_former_champion(
    make_model: MakeModel, serving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have made a version when the second one is promoted first."""
    model, promote = make_model("f1"), promotion.promote

    def push_before(champion: Champion, serving_root: str, model_name: str) -> None:
        monkeypatch.setattr(promotion, "promote", promote)
        monkeypatch.setattr(promotion, "_find_begun", lambda *_: None)
        assert _push(model, serving).number == 2
        promote(champion, serving_root, model_name)

    monkeypatch.setattr(promotion, "promote", push_before)
    assert _push(model, serving) == Pushed(2, f"{serving}/hpa/2", is_new=False)
    assert _names(serving) == ["2", "champion.json"]


def test_a_replaced_model_comes_back_only_by_rollback(make_model: MakeModel, serving: str) -> None:
    first, second = make_model("f1"), make_model("f2")
    _push(first, serving)
    _push(second, serving)
    with pytest.raises(SupersededError, match=r"is already version 1, and version 2 has taken its place.*models rollback 1"):
        _push(first, serving)
    assert rollback(1, serving, "hpa") == Pushed(3, f"{serving}/hpa/3", is_new=True)
    _assert_served(serving, 3, first)
    assert _push(first, serving) == Pushed(3, f"{serving}/hpa/3", is_new=False)
    with pytest.raises(SupersededError, match="is already version 2"):  # a rolled back model does not return
        _push(second, serving)


def test_a_rollback_to_the_served_version_does_nothing(make_model: MakeModel, serving: str) -> None:
    for name in ("f1", "f2"):
        _push(make_model(name), serving)
    assert rollback(2, serving, "hpa") == Pushed(2, f"{serving}/hpa/2", is_new=False)
    pushed = [rollback(1, serving, "hpa") for _ in range(2)]
    assert [(one.number, one.is_new) for one in pushed] == [(3, True), (3, False)]
    assert _names(serving) == ["1", "2", "3", "champion.json"]


def test_a_rollback_needs_a_complete_version(make_model: MakeModel, serving: str) -> None:
    with pytest.raises(ValueError, match=r"expected one of the versions \(none\). Received: 1"):
        rollback(1, serving, "hpa")
    for name in ("f1", "f2"):
        _push(make_model(name), serving)
    _begin(serving, 3)
    for number in (3, 4):
        with pytest.raises(ValueError, match=f"expected one of the versions 1, 2. Received: {number}"):
            rollback(number, serving, "hpa")
    Path(serving, "hpa", "1", "variables", "variables.index").write_bytes(b"indey")
    with pytest.raises(OSError, match=r"hpa/1 is damaged.*variables/variables.index has other content"):
        rollback(1, serving, "hpa")
    _assert_served(serving, 2, make_model("f2"))


def test_a_damaged_champion_is_replaced_by_the_version_it_was_copied_from(make_model: MakeModel, serving: str) -> None:
    for name in ("f1", "f2"):
        _push(make_model(name), serving)
    Path(rollback(1, serving, "hpa").uri, "variables", "variables.index").unlink()
    assert rollback(1, serving, "hpa") == Pushed(4, f"{serving}/hpa/4", is_new=True)
    _assert_served(serving, 4, make_model("f1"))


def test_the_newest_versions_and_those_above_the_champion_are_kept(make_model: MakeModel, serving: str) -> None:
    models = [make_model(f"f{number}") for number in range(1, KEPT_VERSIONS + 3)]
    _push(models[0], serving)
    _begin(serving, 2)
    for model in models[1:-1]:
        _push(model, serving)
    newest = KEPT_VERSIONS + 2
    assert _names(serving) == [str(number) for number in range(newest - KEPT_VERSIONS + 1, newest + 1)] + ["champion.json"]
    _begin(serving, 20)
    _push(models[-1], serving)
    assert _names(serving) == sorted(
        ["20", "21", *(str(newest - number) for number in range(KEPT_VERSIONS - 1)), "champion.json"]
    )
    _assert_served(serving, 21, models[-1])


def test_a_repeated_push_repairs_damage(make_model: MakeModel, serving: str) -> None:
    model = make_model("f1")
    folder = Path(_push(model, serving).uri)
    (folder / "variables" / "variables.index").write_bytes(b"")
    (folder / "assets" / "classes.csv").unlink()
    (folder / "saved_model.pb").write_bytes(b"graph")
    assert _push(model, serving) == Pushed(1, str(folder), is_new=False)
    _assert_served(serving, 1, model)


def test_a_champion_that_cannot_be_repaired_is_an_error(make_model: MakeModel, serving: str) -> None:
    model = make_model("f1")
    folder = Path(_push(model, serving).uri)
    (folder / "assets" / "classes.csv").unlink()
    (model / "assets" / "classes.csv").write_text("other")
    with pytest.raises(OSError, match=r"hpa/1 is damaged: assets/classes.csv has other content"):
        _push(model, serving)


def test_other_folders_and_damaged_records_are_left_alone(make_model: MakeModel, serving: str) -> None:
    for name in ("notes", "007"):
        Path(serving, "hpa", name).mkdir(parents=True)
    Path(serving, "hpa", "9", "assets").mkdir(parents=True)  # as after a kill before the first file
    record = Path(serving, "hpa", "7", "assets.extra", "pushed.json")
    record.parent.mkdir(parents=True)
    record.write_text('{"model_fingerprint": "f1"}')
    assert _push(make_model("f1"), serving).number == 8
    assert _names(serving) == ["007", "7", "8", "9", "champion.json", "notes"]
    assert record.read_text() == '{"model_fingerprint": "f1"}'


def test_a_folder_that_is_not_a_model_is_refused(make_model: MakeModel, serving: str) -> None:
    model = make_model("f1")
    with pytest.raises(ValueError, match="one threshold for each of 2 classes"):
        _push(model, serving, [0.5])
    (model / "saved_model.pb").unlink()
    with pytest.raises(FileNotFoundError, match=r"models/f1: expected a SavedModel, but saved_model.pb is missing"):
        _push(model, serving)
    assert not Path(serving).exists()


def test_a_version_gets_its_number_once_it_is_complete_and_verified(
    make_model: MakeModel, serving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    store = storage.store

    def look_and_store(path: Path, uri: str) -> None:
        store(path, uri)
        seen.append(_whole_folders(f"{serving}/hpa"))

    monkeypatch.setattr(storage, "store", look_and_store)
    _push(make_model("f1"), serving)
    _push(make_model("f2"), serving)
    assert len(seen) == 2 * 7
    assert all(all(folders.values()) for folders in seen)
    assert [len(folders) for folders in seen] == [0] * 7 + [1] * 7


def test_a_copy_that_differs_from_its_source_gets_no_number(
    make_model: MakeModel, serving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = storage.store

    def store_and_spoil(path: Path, uri: str) -> None:
        store(path, uri)
        if uri.endswith("variables.index"):
            Path(uri).write_bytes(b"spoilt")

    monkeypatch.setattr(storage, "store", store_and_spoil)
    with pytest.raises(OSError, match=r"is damaged: variables/variables.index has other content"):
        _push(make_model("f1"), serving)
    assert _names(serving) == []


def test_a_slow_duplicate_push_removes_no_champion_present_or_former(
    make_model: MakeModel, serving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It continues after the other one has finished and yet another model has been pushed."""
    first, twin, next_one = (make_model(name) for name in ("f1", "twin", "next"))
    _push(first, serving)
    generation = champion_generation(serving)
    promote = promotion.promote

    def sleep_before(champion: Champion, serving_root: str, model_name: str) -> None:
        monkeypatch.setattr(promotion, "promote", promote)
        _push(twin, serving, generation=generation)
        _push(next_one, serving)
        promote(champion, serving_root, model_name)

    monkeypatch.setattr(promotion, "promote", sleep_before)
    with pytest.raises(SwappedMeanwhileError, match="now version 3 is the champion"):
        _push(twin, serving, generation=generation)
    _assert_served(serving, 3, next_one)
    assert _names(serving) == ["1", "2", "3", "champion.json"]
    assert rollback(2, serving, "hpa").number == 4
    _assert_served(serving, 4, twin)


def test_the_next_push_removes_remains_of_another_models_killed_push(make_model: MakeModel, serving: str) -> None:
    """It was killed between getting its number and swapping the pointer, so it was never promoted."""
    first, killed, after = (make_model(name) for name in ("f1", "killed", "after"))
    _push(first, serving)
    shutil.copytree(f"{serving}/hpa/1", f"{serving}/hpa/2")
    record = Path(serving, "hpa", "2", RECORD)
    changed = {"model_fingerprint": killed.name, "champion_generation": champion_generation(serving)}
    record.write_bytes(changed_json(record.read_bytes(), **changed))
    assert _push(after, serving).number == 3
    assert _names(serving) == ["1", "3", "champion.json"]
    _assert_served(serving, 3, after)


@pytest.mark.object_store
class TestObjectStores:
    def test_remains_of_a_killed_push_are_not_a_version_and_are_removed_by_the_next(
        self, make_model: MakeModel, remote_root: str
    ) -> None:
        first = make_model("f1")
        folder = _push(first, remote_root).uri
        record = changed_json(storage.read_bytes(f"{folder}/{RECORD}"), model_fingerprint="killed")
        for left in (".incoming-0123abcd", "2"):  # killed while it uploaded, and while the server copied
            storage.write_bytes(f"{remote_root}/hpa/{left}/{RECORD}", record)
        assert [version.number for version in find_versions(f"{remote_root}/hpa") if version.is_complete] == [1]
        assert not verify_models(remote_root, "hpa")[-1].is_well
        assert _push(make_model("f2"), remote_root).number == 3
        assert _names(remote_root) == ["1", "3", "champion.json"]
        assert storage.list_names(f"{remote_root}/hpa") == ["1", "3", "champion.json"]
        storage.write_bytes(f"{remote_root}/hpa/4/{RECORD}", record)
        assert rollback(3, remote_root, "hpa").number == 5  # the highest is what gets served
        assert storage.list_names(f"{remote_root}/hpa") == ["1", "3", "5", "champion.json"]

    def test_models_are_pushed_and_rolled_back(self, make_model: MakeModel, remote_root: str) -> None:
        first, second = make_model("f1"), make_model("f2")
        assert _push(first, remote_root) == Pushed(1, f"{remote_root}/hpa/1", is_new=True)
        assert _push(first, remote_root) == Pushed(1, f"{remote_root}/hpa/1", is_new=False)
        _push(second, remote_root)
        assert rollback(1, remote_root, "hpa").number == 3
        _assert_served(remote_root, 3, first)
        for number in range(KEPT_VERSIONS):
            _push(make_model(f"g{number}"), remote_root)
        assert _names(remote_root) == ["4", "5", "6", "7", "8", "champion.json"]

    def test_one_of_two_concurrent_pushes_wins(self, make_model: MakeModel, remote_root: str) -> None:
        _of_two_at_once_one_wins(make_model, remote_root, rounds=3)

    def test_two_concurrent_equal_pushes_make_one_version(self, make_model: MakeModel, remote_root: str) -> None:
        for number in range(1, 4):
            model = make_model(f"f{number}")
            outcomes = _push_at_once([model, model], remote_root)
            assert {type(outcome) for outcome in outcomes} == {Pushed}, outcomes
            _assert_served(remote_root, _champion(remote_root).version, model)
            assert len(find_versions(f"{remote_root}/hpa")) == number

    @pytest.mark.long
    @pytest.mark.parametrize("lost", _LOST.values(), ids=_LOST)
    @pytest.mark.usefixtures("impatient_stores")
    @pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
    def test_a_first_push_survives_the_loss_of_any_request(
        self, make_model: MakeModel, remote_root: str, faults: Faults, lost: Fault
    ) -> None:
        """A model's first push makes version 1 and nothing else, whichever of its requests or their answers is lost."""
        model = make_model("f1")
        for number, disturbed in faults.each_request(lost):
            serving = f"{remote_root}/{number}"
            with disturbed:
                assert _push(model, serving) == Pushed(1, f"{serving}/hpa/1", is_new=True)
            _assert_served(serving, 1, model)
            assert storage.list_names(f"{serving}/hpa") == ["1", "champion.json"]

    @pytest.mark.long
    @pytest.mark.parametrize("lost", _LOST.values(), ids=_LOST)
    @pytest.mark.usefixtures("impatient_stores", "two_kept_versions")
    @pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
    def test_a_push_survives_the_loss_of_any_request(
        self, make_model: MakeModel, remote_root: str, faults: Faults, lost: Fault
    ) -> None:
        """A push replaces the champion and removes the oldest version, whichever of its requests or their answers is lost."""
        for version in (1, 2):
            _push(make_model(f"f{version}"), remote_root)
        for number, disturbed in faults.each_request(lost):
            version = number + 3
            with disturbed:
                pushed = _push(make_model(f"f{version}"), remote_root)
            _assert_replaced(remote_root, pushed, version, make_model(f"f{version}"))

    @pytest.mark.long
    @pytest.mark.parametrize("lost", _LOST.values(), ids=_LOST)
    @pytest.mark.usefixtures("impatient_stores", "two_kept_versions")
    @pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
    def test_a_rollback_survives_the_loss_of_any_request(
        self, make_model: MakeModel, remote_root: str, faults: Faults, lost: Fault
    ) -> None:
        """A rollback makes the old version the champion again, whichever of its requests or their answers is lost."""
        models = make_model("f2"), make_model("f1")  # of even and of odd versions
        for version in (1, 2):
            _push(models[version % 2], remote_root)
        for number, disturbed in faults.each_request(lost):
            version = number + 3
            with disturbed:
                restored = rollback(version - 2, remote_root, "hpa")
            _assert_replaced(remote_root, restored, version, models[version % 2])

    def test_damage_is_found_and_repaired(self, make_model: MakeModel, remote_root: str) -> None:
        for name in ("f1", "f2"):
            folder = _push(make_model(name), remote_root).uri
            storage.replace_bytes(f"{folder}/variables/variables.index", b"indey")
        with pytest.raises(OSError, match="hpa/1 is damaged"):
            rollback(1, remote_root, "hpa")
        assert _push(make_model("f2"), remote_root) == Pushed(2, f"{remote_root}/hpa/2", is_new=False)
        _assert_served(remote_root, 2, make_model("f2"))


def test_a_higher_version_that_was_never_promoted_is_not_served_permanently(make_model: MakeModel, serving: str) -> None:
    first = make_model("f1")
    champion = _push(first, serving)
    # As after a push that is killed just before it swaps the pointer.
    shutil.copytree(champion.uri, f"{serving}/hpa/2")
    record = Path(serving, "hpa", "2", RECORD)
    record.write_bytes(changed_json(record.read_bytes(), model_fingerprint="f2"))
    assert not verify_models(serving, "hpa")[-1].is_well
    assert rollback(1, serving, "hpa") == Pushed(3, f"{serving}/hpa/3", is_new=True)
    _assert_served(serving, 3, first)
    assert verify_models(serving, "hpa")[-1].is_well


def test_a_damaged_file_of_a_version_is_named(make_model: MakeModel, serving: str) -> None:
    folder = Path(_push(make_model("f1"), serving).uri)
    for path in [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]:
        check_damaged(path, lambda: check_version(str(folder)), num_cases=10)


def test_a_damaged_pointer_is_named(make_model: MakeModel, serving: str) -> None:
    _push(make_model("f1"), serving)
    check_damaged(Path(serving, "hpa", "champion.json"), lambda: _champion(serving).version, num_cases=60)
