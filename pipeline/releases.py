"""The releases of Kubeflow Pipelines that a compiled pipeline supports.

An older server does not refuse a file with an unknown setting. Depending on the setting, it drops that one, or all settings of
pods (GPU, node pool, secrets, deadlines), and runs the steps without them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yaml

Version = tuple[int, int]

# The settings of pods that are newer than the oldest release, and the first release that supports each. `optional` is newer
# for Secrets and ConfigMaps as variables, but not as volumes.
_FIRST_KNOWN_IN: dict[str, Version] = {
    "secretAsEnv.optional": (2, 15),
    "configMapAsEnv.optional": (2, 15),
    "securityContext": (2, 16),
    "pvcMount.subPath": (2, 16),
    "createPvc.dataSource": (2, 17),
    "pipelineConfig.activeDeadlineSeconds": (2, 17),
    "pipelineConfig.resourceTtlOnCompletion": (2, 17),
    "pipelineConfig.resourceTtlOnFailure": (2, 17),
    "pipelineConfig.resourceTtlOnSuccess": (2, 17),
}


class Release(StrEnum):
    """The oldest release that `compile` writes a file for."""

    OLDEST = "2.14"
    NEWEST = "2.17"

    @property
    def version(self) -> Version:
        """The release as comparable numbers."""
        return _read_version(self)


@dataclass(frozen=True)
class Needs:
    """The oldest release that a compiled pipeline needs, and the settings that are new in it."""

    version: Version
    settings: tuple[str, ...]

    def check(self, server: str, address: str) -> str:
        """Compares the server's release with the required one.

        Args:
            server: The release reported by the server, such as 2.16.0.
            address: The server's name for messages.

        Returns:
            A warning if the server does not report its release; empty otherwise.

        Raises:
            ValueError: If the server is too old.
        """
        needed = f"{self.version[0]}.{self.version[1]}"
        try:
            found = _read_version(server)
        except ValueError:
            return f"{address} does not report its release: the pipeline needs Kubeflow Pipelines {needed} or newer."
        if found >= self.version:
            return ""
        problem = f"{address} is Kubeflow Pipelines {server}, and the pipeline needs {needed} or newer"
        if not self.settings:
            raise ValueError(f"{problem}: ask for an upgrade of the server")
        problem += (
            f" for {', '.join(self.settings)}: this server would drop that, or all settings of pods (GPU, node pool, secrets), "
            "and run the steps without them"
        )
        if found >= Release.OLDEST.version and all(setting.startswith("pipelineConfig.") for setting in self.settings):
            raise ValueError(
                f"{problem}. Run `python -m pipeline compile --output cluster.yaml` (without --kfp {Release.NEWEST}, but with "
                "the --registry, --digests and --s3-endpoint that it had), and give --file cluster.yaml"
            )
        raise ValueError(f"{problem}. Remove it from pipeline/placement.py and compile, or ask for an upgrade of the server")


def read_needs(pipeline_yaml: str) -> Needs:
    """Determines the release that a compiled pipeline needs."""
    _, *platform = yaml.safe_load_all(pipeline_yaml)
    new = {field: _FIRST_KNOWN_IN[field] for field in _fields(platform) if field in _FIRST_KNOWN_IN}
    version = max([Release.OLDEST.version, *new.values()])
    return Needs(version, tuple(sorted(field for field in new if new[field] == version)))


def _fields(value: Any, parent: str = "") -> Iterator[str]:
    """The names of all fields with a value, alone and with their parent. False and 0 count as no value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if inner:
                yield from (name, f"{parent}.{name}")
                yield from _fields(inner, name)
    elif isinstance(value, list):
        for item in value:
            yield from _fields(item, parent)


def _read_version(text: str) -> Version:
    match = re.match(r"v?(\d+)\.(\d+)", text)
    if not match:
        raise ValueError(f"expected a release such as 2.17.0. Received: {text}")
    return int(match[1]), int(match[2])
