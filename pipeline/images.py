"""Which images a compiled pipeline runs its steps in."""

import re
from collections.abc import Mapping
from pathlib import Path

_IMAGE = re.compile(r"^( *image: )(.+)/([a-z-]+):([\w.-]+)$", re.MULTILINE)
_REGISTRY = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9._-]+)*")
_TAG = re.compile(r"\w[\w.-]{0,127}")
_PINNED = re.compile(r"(\S+/[a-z-]+:[\w.-]+)@(sha256:[0-9a-f]{64})")


def with_images(pipeline_yaml: str, registry: str = "", tag: str = "", digests: Mapping[str, str] | None = None) -> str:
    """Names the images of a compiled pipeline `<registry>/<step>:<tag>`, each with its digest if digests are given.

    Args:
        pipeline_yaml: What the pipeline compiles to.
        registry: Where the images are, such as `registry.example.com/cells`; empty leaves it as it is.
        tag: Of all images; empty leaves it as it is.
        digests: By an image's name, from `read_digests`.

    Raises:
        ValueError: If the registry or the tag is none, or an image has no digest.
    """
    if registry and not _REGISTRY.fullmatch(registry):
        raise ValueError(f"registry: expected a host and a path, such as registry.example.com/cells. Received: {registry}")
    if tag and not _TAG.fullmatch(tag):
        raise ValueError(f"tag: expected at most 128 letters, digits, dots, dashes and underscores. Received: {tag}")

    def rename(match: re.Match[str]) -> str:
        key, its_registry, step, its_tag = match.groups()
        name = f"{registry or its_registry}/{step}:{tag or its_tag}"
        if digests is None:
            return f"{key}{name}"
        if name not in digests:
            raise ValueError(f"digests: expected one of {name}. There are those of: {', '.join(digests)}")
        return f"{key}{name}@{digests[name]}"

    return _IMAGE.sub(rename, pipeline_yaml)


def read_digests(path: Path) -> dict[str, str]:
    """Reads the digests of images, by name, from lines such as `<registry>/<step>:<tag>@sha256:<64 hexadecimal digits>`.

    Raises:
        ValueError: If a line is another.
    """
    digests = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = _PINNED.fullmatch(line.strip())
        if not match:
            raise ValueError(
                f"{path}: expected <registry>/<step>:<tag>@sha256:<digest>, as make push-images prints. Received: {line}"
            )
        digests[match[1]] = match[2]
    return digests
