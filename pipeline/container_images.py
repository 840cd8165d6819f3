"""The container images of a compiled pipeline's steps."""

import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.named_files import read_named

_IMAGE = re.compile(r"^( *image: )(.+)/([a-z-]+):([\w.-]+)(@sha256:[0-9a-f]{64})?$", re.MULTILINE)
_REGISTRY = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9._-]+)*")
_TAG = re.compile(r"\w[\w.-]{0,127}")
_PINNED = re.compile(r"(\S+/[a-z-]+:[\w.-]+)@(sha256:[0-9a-f]{64})")


def with_images(pipeline_yaml: str, registry: str = "", tag: str = "", digests: Mapping[str, str] | None = None) -> str:
    """Names the images of a compiled pipeline `<registry>/<step>:<tag>`, each with its digest if digests are given.

    Args:
        pipeline_yaml: The compiled pipeline. New digests replace those of already pinned images.
        registry: The registry, such as `registry.example.com/cells`; empty leaves it unchanged.
        tag: The tag of all images; empty leaves it unchanged.
        digests: The digests by image name, from `read_digests`.

    Raises:
        ValueError: If the registry or the tag is invalid, an image has no digest, or a pinned image would get a new name
            without a new digest: the digest alone decides which image runs, whatever its name.
    """
    if registry and not _REGISTRY.fullmatch(registry):
        raise ValueError(f"registry: expected a host and a path, such as registry.example.com/cells. Received: {registry}")
    if tag and not _TAG.fullmatch(tag):
        raise ValueError(f"tag: expected at most 128 letters, digits, dots, dashes and underscores. Received: {tag}")

    def rename(match: re.Match[str]) -> str:
        key, its_registry, step, its_tag, pin = match.groups()
        its_name, name = f"{its_registry}/{step}:{its_tag}", f"{registry or its_registry}/{step}:{tag or its_tag}"
        if digests is None:
            if pin and name != its_name:
                raise ValueError(
                    f"digests: expected one for {name}, as the compiled pipeline pins {its_name}. Give --digests with the "
                    "output of make push-images, or a file that was compiled without digests"
                )
            return f"{key}{name}{pin or ''}"
        if name not in digests:
            cpu = " CPU=1" if name.endswith("-cpu") else ""
            other = name.removesuffix("-cpu") if cpu else f"{name}-cpu"
            advice = f"Compile {'without' if cpu else 'with'} --cpu, or run" if other in digests else "Run"
            raise ValueError(
                f"digests: expected one for {name}. Received: those of {', '.join(digests) or 'no image'}. {advice} "
                f"make push-images{cpu} REGISTRY={registry or its_registry} again"
            )
        return f"{key}{name}@{digests[name]}"

    return _IMAGE.sub(rename, pipeline_yaml)


def read_digests(path: Path) -> dict[str, str]:
    """Reads the digests of images, by name, from lines such as `<registry>/<step>:<tag>@sha256:<64 hexadecimal digits>`.

    Raises:
        ValueError: If there is no such file, a line has another format, or it is empty because make push-images failed.
    """
    digests = {}
    for line in read_named(path, "--digests", f"make push-images REGISTRY=... > {path}").splitlines():
        match = _PINNED.fullmatch(line.strip())
        if not match:
            raise ValueError(
                f"{path}: expected <registry>/<step>:<tag>@sha256:<digest>, as make push-images prints. Received: {line}"
            )
        digests[match[1]] = match[2]
    if not digests:
        raise ValueError(f"{path}: expected digests of images. It is empty: run make push-images REGISTRY=... > {path} again")
    return digests
