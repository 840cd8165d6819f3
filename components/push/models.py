"""Shows, verifies and takes back what is served: `python -m pipeline models`."""

import argparse
import datetime
import logging
import sys
from dataclasses import dataclass

from components.push.registry import rollback
from components.push.version import DONE_MARK, Version, describe, find_damage, find_strangers, find_versions
from components.shared import storage
from components.shared.champion import Champion, find_champion
from components.shared.parameters import check_parameters


@dataclass(frozen=True)
class Finding:
    """What a verification says of one thing, and whether that is well."""

    text: str
    is_well: bool = True


def list_models(serving_root: str, model_name: str) -> list[str]:
    """One line for each version of a model, the newest first."""
    champion = find_champion(serving_root, model_name)
    return [_line(version, champion) for version in reversed(find_versions(storage.join(serving_root, model_name)))]


def _line(version: Version, champion: Champion | None) -> str:
    parts = [f"{version.number:>4}"]
    if version.is_complete:
        pushed = datetime.datetime.fromtimestamp(storage.modified_s(storage.join(version.uri, DONE_MARK)), datetime.UTC)
        parts.append(f"{pushed:%Y-%m-%d %H:%M} UTC")
    if version.record:
        parts.append(f"model {version.record.model_fingerprint}  evaluation {version.record.evaluation_fingerprint}")
        if version.record.restored_from:
            parts.append(f"copy of version {version.record.restored_from}")
    if champion and version.number == champion.version:
        parts.append("champion")
    elif not champion or version.number > champion.version:
        parts.append("not made the champion, or not yet")
    if not version.is_complete:
        parts.append("unfinished")
    return "  ".join(parts)


def verify_models(serving_root: str, model_name: str) -> list[Finding]:
    """Compares every file of every version with the checksums that were recorded when it was pushed."""
    versions = find_versions(storage.join(serving_root, model_name))
    findings = [_verify(version) for version in versions]
    champion = find_champion(serving_root, model_name)
    if not champion:
        return [*findings, Finding("there is no champion", is_well=False)] if versions else []
    text = f"version {champion.version} is the champion"
    if champion.version not in [version.number for version in versions if version.is_complete]:
        return [*findings, Finding(f"{text}, but it is not there", is_well=False)]
    above = [str(version.number) for version in versions if version.number > champion.version]
    if above:
        advice = "TensorFlow Serving takes the highest. Run the push again, or models rollback"
        return [*findings, Finding(f"{text}, but there are later ones ({', '.join(above)}). {advice}", is_well=False)]
    return [*findings, Finding(text)]


def _verify(version: Version) -> Finding:
    name = f"version {version.number}"
    if not version.is_complete:
        return Finding(f"{name}: unfinished: not one that is served")
    if not version.record:
        return Finding(f"{name}: its record of checksums is damaged or missing", is_well=False)
    damage = find_damage(version.uri, version.record, version.record.files) | find_strangers(version.uri, version.record)
    if damage:
        return Finding(f"{name}: damaged: {describe(damage)}", is_well=False)
    return Finding(f"{name}: {len(version.record.files)} files as they were pushed")


def roll_back(number: int, serving_root: str, model_name: str) -> Finding:
    """Makes an old version the champion again, and says which number it has now."""
    champion = rollback(number, serving_root, model_name)
    how = f"a copy of version {number}" if champion.is_new else "it was already"
    return Finding(f"version {champion.number} is the champion ({how}): {champion.uri}")


def main() -> None:
    """Does what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["list", "rollback", "verify"])
    parser.add_argument("serving_root")
    parser.add_argument("model_name")
    parser.add_argument("--version", type=int, default=0)
    options = parser.parse_args()
    place = (options.serving_root, options.model_name)
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    try:
        check_parameters(serving_root=options.serving_root, model_name=options.model_name)
        if options.action == "list":
            findings = [Finding(line) for line in list_models(*place)]
        elif options.action == "verify":
            findings = verify_models(*place)
        else:
            findings = [roll_back(options.version, *place)]
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    for finding in findings or [Finding(f"{storage.join(*place)}: no version yet")]:
        print(finding.text)
    sys.exit(0 if all(finding.is_well for finding in findings) else 1)


if __name__ == "__main__":
    main()
