"""Lists, verifies and rolls back the versions of a served model."""

from collections.abc import Sequence
from dataclasses import dataclass

from components import storage
from components.runtime.wording import time_of
from components.serving.champion import Champion, Pointer, find_pointer
from components.serving.promotion import rollback
from components.serving.versions import DONE_MARK, Version, describe, find_damage, find_unrecorded, find_versions


@dataclass(frozen=True)
class Finding:
    """A line of a listing or verification, and whether all is well."""

    text: str
    is_well: bool = True


def list_models(serving_root: str, model_name: str) -> list[Finding]:
    """One line for each version of a model, the newest first."""
    pointer, versions = find_pointer(serving_root, model_name), find_versions(storage.join(serving_root, model_name))
    lines = [Finding(_line(version, pointer.champion)) for version in reversed(versions)]
    return lines if pointer.champion else [*lines, *_without_champion(pointer, versions)]


def _line(version: Version, champion: Champion | None) -> str:
    parts = [f"{version.number:>4}"]
    if version.is_complete:
        parts.append(time_of(storage.modified_s(storage.join(version.uri, DONE_MARK))))
    if version.record:
        parts.append(f"model {version.record.model_fingerprint}  evaluation {version.record.evaluation_fingerprint}")
        if version.record.restored_from:
            parts.append(f"copy of version {version.record.restored_from}")
    if champion and version.number == champion.version:
        parts.append("champion")
    elif champion and not champion.has_been(version.number):
        parts.append("not promoted (yet)")
    if not version.is_complete:
        parts.append("unfinished")
    return "  ".join(parts)


def _without_champion(pointer: Pointer, versions: Sequence[Version]) -> list[Finding]:
    """Reports that the pointer is missing or damaged, what is served nevertheless, and what to do."""
    findings = [Finding(pointer.damage, is_well=False)] if pointer.damage else []
    if whole := [version.number for version in versions if version.is_complete]:
        if not pointer.damage:
            findings.append(Finding(f"there is no {pointer.uri}: no version is the champion", is_well=False))
        words = f"TensorFlow Serving still serves the highest version, {whole[-1]}"
        advice = f"To make it the champion again: python -m pipeline models rollback {whole[-1]}"
        findings.append(Finding(f"{words}. {advice}", is_well=False))
    return findings


def verify_models(serving_root: str, model_name: str) -> list[Finding]:
    """Compares every file of every version with its checksum at the time of the push."""
    pointer, versions = find_pointer(serving_root, model_name), find_versions(storage.join(serving_root, model_name))
    findings = [_verify(version) for version in versions]
    champion = pointer.champion
    if not champion:
        return [*findings, *_without_champion(pointer, versions)]
    text = f"version {champion.version} is the champion"
    if champion.version not in [version.number for version in versions if version.is_complete]:
        return [*findings, Finding(f"{text}, but it is missing", is_well=False)]
    above = [str(version.number) for version in versions if version.number > champion.version]
    if above:
        advice = f"TensorFlow Serving serves the highest. Run the push again, or models rollback {champion.version}"
        return [*findings, Finding(f"{text}, but there are higher ones ({', '.join(above)}). {advice}", is_well=False)]
    return [*findings, Finding(text)]


def _verify(version: Version) -> Finding:
    name = f"version {version.number}"
    if not version.is_complete:
        return Finding(f"{name}: unfinished, not served")
    if not version.record:
        return Finding(f"{name}: its record of checksums is damaged or missing", is_well=False)
    damage = find_damage(version.uri, version.record, version.record.files) | find_unrecorded(version.uri, version.record)
    if damage:
        return Finding(f"{name}: damaged: {describe(damage)}", is_well=False)
    return Finding(f"{name}: {len(version.record.files)} files, unchanged since the push")


def report_rollback(number: int, serving_root: str, model_name: str) -> Finding:
    """Makes an old version the champion again, and reports its new number."""
    champion = rollback(number, serving_root, model_name)
    how = "it was already"
    if champion.is_new:
        how = "champion.json was rewritten" if champion.number == number else f"a copy of version {number}"
    return Finding(f"version {champion.number} is the champion ({how}): {champion.uri}")
