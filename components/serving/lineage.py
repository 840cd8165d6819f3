"""Walks from a pushed model, or from a run, back to its images; broken links are reported."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from components import storage
from components.artifacts.manifest import (
    MANIFEST_NAME,
    MODEL_MANIFEST,
    Evaluation,
    Examples,
    Manifest,
    RawImages,
    TrainedModel,
)
from components.runtime.wording import size_of, time_of
from components.serving.champion import find_champion
from components.serving.versions import DONE_MARK, RECORD, Record

_Kind = TypeVar("_Kind", bound=Manifest)


@dataclass
class Link:
    """One link of the chain.

    Attributes:
        title: What it is.
        facts: What is known about it, by name.
        problem: What is wrong with it; empty if nothing is.
    """

    title: str
    facts: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def walk(target: str, data_root: str) -> list[Link]:
    """The links from a pushed model, or a run, to the source of its images.

    Args:
        target: A version's folder, `<serving_root>/<model name>` for its champion, or the folder of a local run.
        data_root: Where the manifests are.

    Raises:
        FileNotFoundError: If the target is none of these.
    """
    if storage.is_local(target) and any(Path(target).glob("*/*/executor_output.json")):
        return list(_from_run(Path(target), data_root))
    if any(storage.exists(storage.join(target, name)) for name in (RECORD, DONE_MARK)):
        return list(_from_version(target, data_root))
    serving_root, _, model_name = target.rstrip("/").rpartition("/")
    if champion := find_champion(serving_root, model_name):
        return list(_from_version(champion.uri, data_root))
    raise FileNotFoundError(
        f"{target}: expected the folder of a local run, of a pushed version (with {DONE_MARK}), or of a served model (with "
        "champion.json)"
    )


def _from_run(folder: Path, data_root: str) -> Iterator[Link]:
    """From the last step that has an output."""
    run = Link("run", {"where": str(folder)})
    following: Iterator[Link] = iter(())
    try:
        if (path := _output(folder, "push/pushed_model")) and "version_uri" in (pushed := json.loads(path.read_bytes())):
            following = _from_version(pushed["version_uri"], data_root)
        elif path := _output(folder, "evaluate/blessing"):
            verdict = Evaluation.read(str(path))
            run.facts["not pushed"] = "; ".join(verdict.reasons)
            following = _from_evaluation(verdict.fingerprint, verdict.model_fingerprint, data_root)
        else:
            run.facts["ended early"] = "no model was evaluated"
            if path := _output(folder, f"train/model/{MODEL_MANIFEST}"):
                following = _from_training(TrainedModel.read(str(path)).fingerprint, data_root)
            elif path := _output(folder, "convert/examples"):
                following = _from_examples(Examples.read(str(path)).fingerprint, data_root)
            elif path := _output(folder, "ingest/raw_images"):
                following = _from_raw_images(RawImages.read(str(path)).fingerprint, data_root)
    except ValueError as error:
        run.problem = f"one of its artifacts is damaged: {_brief(error)}"
    yield run
    yield from following


def _output(folder: Path, name: str) -> Path | None:
    """A step's output in the folder of a run."""
    return next((path for path in folder.glob(f"*/{name}") if path.is_file()), None)


def _from_version(uri: str, data_root: str) -> Iterator[Link]:
    """From a version's own files: push's record and the model's manifest."""
    serving_root, model_name, number = uri.rstrip("/").rsplit("/", 2)
    link = Link(f"pushed model: version {number} of {model_name}", {"where": uri})
    record = None
    try:
        record = Record.read(storage.join(uri, RECORD))
    except FileNotFoundError:
        link.problem = f"{RECORD}, which push writes, is missing"
    except ValueError:
        link.problem = f"{RECORD}, which push writes, is damaged"
    if record:
        link.facts["files"] = f"{len(record.files)}, with their checksums"
        if record.restored_from:
            link.facts["copy of"] = f"version {record.restored_from}"
    done_uri = storage.join(uri, DONE_MARK)
    if storage.exists(done_uri):
        link.facts |= {"pushed": time_of(storage.modified_s(done_uri)), "champion": _champion(serving_root, model_name, number)}
    else:
        link.problem = link.problem or f"it is unfinished: {DONE_MARK} is missing"
    yield link
    own, problem = _read(TrainedModel, uri, MODEL_MANIFEST)
    if record:
        yield from _from_evaluation(record.evaluation_fingerprint, record.model_fingerprint, data_root, own)
    elif own:
        yield from _from_training(own.fingerprint, data_root, own)
    else:
        yield Link("training", problem=f"unknown: {problem}")


def _champion(serving_root: str, model_name: str, number: str) -> str:
    """Whether a version is the champion, in words."""
    try:
        champion = find_champion(serving_root, model_name)
    except ValueError as error:
        return f"unknown: {_brief(error)}"
    if not champion:
        return "there is none"
    return "yes" if str(champion.version) == number else f"no, version {champion.version} is"


def _from_evaluation(
    fingerprint: str, model_fingerprint: str, data_root: str, own: TrainedModel | None = None
) -> Iterator[Link]:
    uri = storage.join(data_root, "evaluation", fingerprint)
    found, problem = _read(Evaluation, uri, expected=fingerprint)
    link = Link(f"evaluation {fingerprint}", problem=problem)
    if found:
        metrics = found.metrics
        name = "f1_macro_common" if "f1_macro_common" in metrics else "f1_macro"  # earlier versions recorded only f1_macro
        interval = f" ({metrics[f'{name}_low']:.3f} to {metrics[f'{name}_high']:.3f})" if f"{name}_low" in metrics else ""
        over = " over common classes" if name == "f1_macro_common" else ""
        link.facts |= {
            "verdict": "blessed" if found.blessed else f"not blessed: {found.verdict}",
            "macro F1": f"{metrics[name]:.3f}{interval}{over} on {found.num_samples} {found.judged_on} samples",
            "compared with": f"training {found.inputs['champion']}" if "champion" in found.inputs else "no champion",
            "reasons": "; ".join(found.reasons),
        } | _common(found)
    yield link
    yield from _from_training(model_fingerprint, data_root, own)


def _from_training(fingerprint: str, data_root: str, own: TrainedModel | None = None) -> Iterator[Link]:
    """Uses `own`, the manifest in the served model, if the training's own was removed."""
    found, problem = _read(TrainedModel, storage.join(data_root, "training", fingerprint), expected=fingerprint)
    link = Link(f"training {fingerprint}", problem=problem)
    if own and own.fingerprint != fingerprint:
        link.problem = f"the model names another training, {own.fingerprint}"
    elif own and not found:
        found, link.problem = own, f"{problem}. The facts below are from the served model's own manifest"
    if found:
        started = f" (training {found.inputs['champion']})" if "champion" in found.inputs else ""
        link.facts |= {
            "started from": f"{found.started_from}{started}" if found.started_from else "",
            "epochs": f"{found.epochs_trained}, the best is {found.best_epoch}",
        } | _common(found)
    yield link
    if found:
        yield from _from_examples(found.inputs.get("examples", ""), data_root)


def _from_examples(fingerprint: str, data_root: str) -> Iterator[Link]:
    found, problem = _read(Examples, storage.join(data_root, "examples", fingerprint), expected=fingerprint)
    link = Link(f"examples {fingerprint}", problem=problem)
    if found:
        counts = ", ".join(f"{found.num_records(split):,} {split}" for split in found.shards)
        link.facts |= {
            "samples": f"{counts}; {found.num_quarantined} left out",
            "images": f"{found.image_size_px} px, {', '.join(found.channels)}",
        } | _common(found)
        if missing := found.missing_shards():
            link.problem = f"{len(missing)} shards are missing or truncated, for example {missing[0]}"
    yield link
    if found:
        yield from _from_raw_images(found.inputs.get("raw_images", ""), data_root)


def _from_raw_images(fingerprint: str, data_root: str) -> Iterator[Link]:
    raw_uri, name = storage.join(data_root, "raw"), f"index/{fingerprint}.json"
    folders = [storage.join(raw_uri, source) for source in storage.list_names(raw_uri)]
    folder = next((uri for uri in folders if storage.exists(storage.join(uri, name))), "")
    link = Link(f"raw images {fingerprint}", problem="" if folder else f"there is no {raw_uri}/<source>/{name}")
    found = None
    if folder:
        found, link.problem = _read(RawImages, folder, name, fingerprint)
    if found:
        link.facts |= {
            "samples": f"{found.num_samples:,}, {found.num_bad} of them bad",
            "files": f"{size_of(found.num_bytes)} in {found.images_uri}",
            "listed in": found.index_uri,
        } | _common(found, name)
        if not storage.exists(found.index_uri):
            link.problem = f"{found.index_uri} is missing: the images are not known"
    yield link
    if found:
        yield Link(f"source {found.source}", {"licence": found.licence})


def _read(kind: type[_Kind], uri: str, name: str = MANIFEST_NAME, expected: str = "") -> tuple[_Kind | None, str]:
    """Reads a manifest. Returns None and the problem if that fails."""
    try:
        found = kind.find(uri, name)
    except (ValueError, OSError) as error:
        return None, _brief(error)
    if not found:
        return None, f"there is no {storage.join(uri, name)}: removed, or under another data_root (--data-root)"
    if expected and found.fingerprint != expected:
        return None, f"{storage.join(uri, name)} has another fingerprint, {found.fingerprint}"
    return found, ""


def _common(manifest: Manifest, name: str = MANIFEST_NAME) -> dict[str, str]:
    """The facts that all manifests hold."""
    path = storage.join(manifest.uri, name)
    return {
        "parameters": _parameters(manifest.parameters),
        "code version": manifest.code_version,
        "licence": manifest.licence,
        "made": time_of(storage.modified_s(path)) if storage.exists(path) else "",
    }


def _parameters(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0]
