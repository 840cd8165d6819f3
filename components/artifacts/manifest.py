"""Manifests: small descriptions of bulk data under `data_root`. They mark it as complete, and are the artifacts' content."""

import contextlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, model_validator

from components import __version__, storage
from components.artifacts.damage import DamagedFileError, parse_json, to_json
from components.runtime.wording import count_of, size_of

MANIFEST_NAME = "manifest.json"


class Artifact(Protocol):
    """The attributes used of a KFP artifact."""

    path: str
    metadata: dict[str, Any]


class Manifest(BaseModel):
    """The description of a complete output. Its paths are relative to `uri`, so that `data_root` can be moved."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fingerprint: str
    inputs: dict[str, str]
    parameters: dict[str, Any]
    code_version: str = __version__
    source: str
    licence: str
    # Where the output is. Filled in on reading, from the manifest's location.
    uri: str = ""
    # Names the folder of the files that were published with the manifest.
    attempt: str = ""
    # The CRC-32C of each file, by name. Earlier versions did not record it.
    files: dict[str, str] = {}

    @classmethod
    def find(cls, uri: str, name: str = MANIFEST_NAME) -> Self | None:
        """Reads the manifest of the output at `uri`; None if there is no complete output.

        Raises:
            ValueError: If the file exists but is not a manifest of this kind.
        """
        path = storage.join(uri, name)
        try:
            content = storage.read_bytes(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return cls.parse(content, path).model_copy(update={"uri": uri})

    @classmethod
    def read(cls, path: str) -> Self:
        """Reads the file of an artifact written by an earlier step."""
        return cls.parse(storage.read_bytes(path), path)

    @classmethod
    def parse(cls, data: bytes, path: str) -> Self:
        """Parses a manifest from JSON. Errors name `path`."""
        return parse_json(cls, data, path, f"a manifest of kind {cls.__name__}")

    def publish(self, uri: str, folder: Path | None = None, name: str = MANIFEST_NAME) -> Self:
        """Publishes a folder of files and then the manifest, which marks the output as complete.

        The files get their own folder with a random name, so that they never mix with files of a killed attempt. If another run
        has published the same output in the meantime, its output is used.

        Args:
            uri: The output's place, named by its fingerprint.
            folder: A local folder with the files, if any.
            name: The manifest's file name.

        Returns:
            The published manifest.
        """
        published = self.model_copy(update={"uri": uri})
        if folder:
            files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
            checksums = {name: storage.file_crc32c(path) for name, path in files.items()}
            published = published.model_copy(update={"attempt": secrets.token_hex(4), "files": checksums})
        try:
            if folder:
                storage.create_tree(folder, published.file_uri())
            storage.write_bytes(storage.join(uri, name), published.model_copy(update={"uri": ""}).to_json())
        except (FileExistsError, FileNotFoundError):  # FileNotFoundError: see `remove_rest`
            if folder:
                storage.remove_tree(published.file_uri())
            if not (found := self.find(uri, name)):
                raise
            return found
        return published

    def remove_rest(self, *names: str) -> None:
        """Removes what killed and slower runs have left beside the published files.

        Args:
            names: Files and folders to remove, besides the folders of other attempts.
        """
        others = (name for name in storage.list_names(self.uri) if name.startswith("attempt-"))
        for name in (*names, *others):
            if name != f"attempt-{self.attempt}":
                storage.remove_tree(storage.join(self.uri, name))

    def file_uri(self, *parts: str) -> str:
        """The URI of a file that was published with the manifest."""
        return storage.join(self.uri, f"attempt-{self.attempt}", *parts)

    def read_file(self, name: str) -> bytes:
        """Reads a file published with the manifest.

        Raises:
            DamagedFileError: If it is damaged.
            FileNotFoundError: If it was deleted.
        """
        with self.naming_deleted():
            content = storage.read_bytes(self.file_uri(name))
        self._verify(name, storage.crc32c(content))
        return content

    def fetch_file(self, name: str, path: Path) -> None:
        """Copies a file published with the manifest to a local path.

        Raises:
            DamagedFileError: If it is damaged.
            FileNotFoundError: If it was deleted.
        """
        with self.naming_deleted():
            storage.fetch(self.file_uri(name), path)
        self._verify(name, storage.file_crc32c(path))

    def fetch_folder(self, name: str, folder: Path) -> None:
        """Copies or links a folder published with the manifest to a local one. Do not write to these files.

        Raises:
            DamagedFileError: If a file in it is damaged.
            FileNotFoundError: If a file in it was deleted.
        """
        with self.naming_deleted():
            storage.fetch_tree(self.file_uri(name), folder)
            for file in self.files:
                if file.startswith(f"{name}/"):
                    self._verify(file, storage.file_crc32c(folder / file.removeprefix(f"{name}/")))

    @contextlib.contextmanager
    def naming_deleted(self) -> Iterator[None]:
        """Adds advice to the error about a missing file: `prune` may have deleted it in the meantime."""
        try:
            yield
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{self.uri} is incomplete, as after `prune`. Delete its manifest if there is one, and run again. {error}"
            ) from None

    def _verify(self, name: str, crc32c: str) -> None:
        expected = self.files.get(name, crc32c)
        if crc32c != expected:
            raise DamagedFileError(
                f"{self.file_uri(name)} is damaged: expected the CRC-32C {expected}. Received: {crc32c}. "
                f"Delete {self.uri} and run again"
            )

    def to_json(self) -> bytes:
        """The content of the manifest's file."""
        return to_json(self)

    def save(self, artifact: Artifact) -> None:
        """Writes the manifest to a KFP artifact's file and metadata."""
        Path(artifact.path).write_bytes(self.to_json())
        artifact.metadata.update(self.metadata())

    def describe(self, *artifacts: Artifact, reused: bool) -> None:
        """Records in artifacts' metadata what they are, their lineage, and whether this run reused them.

        Metrics get no counts and figures, because KFP's page shows each entry of their metadata as a metric. Its artifact list
        shows the display name, so that `inputs` can be found by their fingerprints.
        """
        for artifact in artifacts:
            said = self.lineage() if hasattr(artifact, "log_metric") else self.metadata()
            name = f"{Path(artifact.path).stem} {self.fingerprint[:8]} of {self.source}"
            artifact.metadata.update(said | {"display_name": name, "reused": reused})

    def lineage(self) -> dict[str, Any]:
        """The lineage of the output."""
        names = {"fingerprint", "inputs", "parameters", "code_version", "source", "licence"}
        return self.model_dump(mode="json", include=names)

    def metadata(self) -> dict[str, Any]:
        """Short JSON values for people who browse the artifact's lineage."""
        return self.model_dump(mode="json", exclude={"files"})


class RawImages(Manifest):
    """A version of a source: its images under `raw/`, listed in the index given by `uri` and `index_name`."""

    index_name: str
    class_names: list[str]
    # Counts the versions of this source in this data_root, from 0. It shows which is the latest; the fingerprint ignores it.
    version: int
    num_samples: int
    num_bad: int
    num_incomplete: int
    num_without_files: int
    # The channel of each filter, by name or position, if a file holds all; empty if each filter has a file.
    channels: dict[str, str] = {}
    # Samples of the source's test set, which are in the index only on request.
    num_unlabelled: int = 0
    num_bytes: int

    @property
    def images_uri(self) -> str:
        """The folder of the image files in the index."""
        return storage.join(self.uri, "images")

    @property
    def index_uri(self) -> str:
        """The index file: see `components.artifacts.index`."""
        return storage.join(self.uri, "index", self.index_name)

    def summary(self) -> str:
        """A one-line summary for the log."""
        parts = [f"{count_of(self.num_samples, 'sample')}, {size_of(self.num_bytes)} in {self.uri}"]
        if self.num_unlabelled:
            parts.append(f"{count_of(self.num_unlabelled, 'sample')} without labels (see include_test)")
        if self.num_without_files:
            parts.append(f"{count_of(self.num_without_files, 'row')} without any image left out")
        if self.num_incomplete:
            parts.append(f"{count_of(self.num_incomplete, 'sample')} without some of the filters")
        if self.num_bad:
            parts.append(f"{self.num_bad} cannot be used (reasons in {self.index_uri})")
        return "; ".join(parts)

    def metadata(self) -> dict[str, Any]:
        """Like `Manifest.metadata`, without the class names."""
        return self.model_dump(mode="json", exclude={"class_names", "files"})


# Published with examples, one row per sample: id, split, shard, byte offset of the record in the shard, group of samples that
# stay in one split (near-duplicates, and the source's groups), labels, moments of each channel, pixel_size_um and width_um (of
# the image) if any file gives them, and the other columns of the source's table as `column:<name>`.
SAMPLES = "samples.csv.gz"


class Shard(BaseModel):
    """One TFRecord file of examples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    num_records: int
    num_bytes: int
    crc32c: str


class Examples(Manifest):
    """TFRecords of one image size, divided into splits, ready for training."""

    image_size_px: int
    channels: list[str]
    # How the files were read: see `components.images.decode.Reading`.
    intensity_range: str = ""
    projection: str = ""
    # The median width of a pixel in the files in micrometres, if they give it.
    pixel_size_um: float | None = None
    class_names: list[str]
    shards: dict[str, list[Shard]]
    num_quarantined: int

    def num_records(self, split: str) -> int:
        """The number of examples in a split."""
        return sum(shard.num_records for shard in self.shards[split])

    def shard_uris(self, split: str) -> list[str]:
        """The files of a split, in order."""
        return [storage.join(self.uri, shard.name) for shard in self.shards[split]]

    def missing_shards(self) -> list[str]:
        """The shards that are missing or truncated."""
        stored = storage.list_files(self.uri)
        shards = [shard for split in self.shards.values() for shard in split]
        return [s.name for s in shards if s.name not in stored or stored[s.name].num_bytes != s.num_bytes]

    def metadata(self) -> dict[str, Any]:
        """Like `Manifest.metadata`, with counts instead of the lists of files and names."""
        counts = {f"num_{split}": self.num_records(split) for split in self.shards}
        return self.model_dump(mode="json", exclude={"shards", "class_names", "files"}) | counts


# The manifest in a SavedModel: TensorFlow Serving ignores `assets.extra`.
MODEL_MANIFEST = "assets.extra/model.json"
# The ids of the samples that it was trained on, one per line.
MODEL_TRAINING_IDS = "assets.extra/training_ids.txt"
# The evaluation that blessed it, added by push.
MODEL_EVALUATION = "assets.extra/evaluation.json"
# The asset into which push writes the fitted thresholds: one number per line, in the order of the classes.
MODEL_THRESHOLDS = "assets/thresholds.csv"


# The signature of a SavedModel for each precision.
SIGNATURES = {"float32": "pixels", "bfloat16": "pixels_bfloat16"}
# The signature that returns class activation maps.
ACTIVATION_MAPS = "activation_maps"


class TrainedModel(Manifest):
    """An exported model and its training.

    Attributes:
        intensity_range: How its images were scaled: see `components.images.decode.Reading`.
        projection: How stacks became planes.
        pixel_size_um: The median width of a pixel in its images' files in micrometres, if they give it.
        usual_distances: The 99th percentile of the validation images' distances from the training images (see
            `components.train.reference`), for each precision; empty with fewer than 300 of them, and in models of earlier
            versions.
        class_frequencies: For each class, the share of the training images that have it; empty in models of earlier versions.
        started_from: The weights that training began with, in words.
        epochs_trained: The number of epochs.
        best_epoch: The epoch that the weights are from, counted from 1.
        metrics: The metrics of that epoch.
    """

    class_names: list[str]
    channels: list[str]
    image_size_px: int
    intensity_range: str = ""
    projection: str = ""
    pixel_size_um: float | None = None
    usual_distances: dict[str, float] = {}
    class_frequencies: dict[str, float] = {}
    started_from: str = ""
    epochs_trained: int
    best_epoch: int
    metrics: dict[str, float]

    @property
    def backbone(self) -> str:
        """The name of its network. Manifests without it are from versions that had only one."""
        return str(self.parameters.get("backbone", "inception_resnet_v2"))

    @property
    def pooling(self) -> str:
        """How its head reduces feature maps: see `components.train.recipes.Recipe`. Earlier versions had only one way."""
        return str(self.parameters.get("pooling", "average"))

    def metadata(self) -> dict[str, Any]:
        """Like `Manifest.metadata`, without the class names."""
        return self.model_dump(mode="json", exclude={"class_names", "files"})


class Evaluation(Manifest):
    """The evaluation of a model, with the verdict whether it may be served.

    Attributes:
        judged_on: The split on which `metrics` were measured.
        num_samples: The number of samples in that split.
        num_groups: The number of groups of related samples among them.
        threshold_method: How the thresholds were fitted, in words.
        thresholds: One per class. A class is predicted at or above its threshold.
        blessed: Whether it may be pushed, which is so only with the verdict `yes`.
        reasons: What each rule found, in words.
        summary: What the model is good for: a sentence for each topic. Empty in evaluations by earlier versions.
        champion_version: The champion that it was compared with, or is itself; None without a champion.
        champion_generation: The generation of the champion's pointer at that time: see `components.serving.champion`.
        metrics: Each metric by name, with its interval as `_low` and `_high` and its baseline as `_baseline`.
        validation_metrics: The same on the validation split, on which the thresholds were fitted; without intervals.
        baselines: The metrics of each trivial classifier, by name.
        references: The metrics of each reference, by name. References have no influence on the verdict.
        serving_precision: The precision of the evaluation and of predictions.
        differing_decisions: The share of decisions that differ in the other precision; None if it was not measured.
        unlike_share: The share of test samples farther from the training images than `TrainedModel.usual_distances`. It would
            be 1 % for images like the training images. None if it is unknown.
    """

    model_fingerprint: str
    judged_on: str
    num_samples: int
    num_groups: int
    threshold_method: str
    thresholds: list[float]
    blessed: bool
    verdict: Literal["yes", "no", "not enough evidence"]
    reasons: list[str]
    summary: dict[str, str] = {}
    champion_version: int | None = None
    champion_generation: str = ""
    metrics: dict[str, float]
    validation_metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    references: dict[str, dict[str, float]]
    serving_precision: str = "float32"
    differing_decisions: float | None = None
    unlike_share: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, data: Any) -> Any:
        """Reads a manifest of an earlier version, in which baselines and references were called floors."""
        if not isinstance(data, dict) or not isinstance(data.get("floors"), dict):
            return data
        data = dict(data)
        data["baselines"] = data.pop("floors")
        data["references"] = {name: data["baselines"].pop(name) for name in ("three_commonest",) if name in data["baselines"]}
        for name in ("metrics", "validation_metrics"):
            if isinstance(data.get(name), dict):
                data[name] = {re.sub("_floor$", "_baseline", metric): value for metric, value in data[name].items()}
        return data

    def metadata(self) -> dict[str, Any]:
        """Like `Manifest.metadata`, without long values."""
        hidden = {"thresholds", "baselines", "references", "summary", "files"}
        return self.model_dump(mode="json", exclude=hidden, exclude_none=True)
