"""Reads a submission: the requests of a compiled pipeline's pods, and its arguments."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.runtime.environment import POD_PREFIX
from pipeline.cluster_objects import KAGGLE, KFP_S3_KEYS, S3_KEYS, S3_PUSH_KEYS, S3_SETTINGS
from pipeline.compiled import load_parameters, parse_arguments
from pipeline.container_images import with_images
from pipeline.named_files import read_compiled
from pipeline.releases import Needs, read_needs

# The fields by which a pod gets a Secret or a ConfigMap, and the prefixes of their inner fields.
_OBJECT_FIELDS = {
    "secretAsEnv": "secret",
    "secretAsVolume": "secret",
    "imagePullSecret": "secret",
    "configMapAsEnv": "configMap",
    "configMapAsVolume": "configMap",
}
_KINDS = {"secret": "Secret", "configMap": "ConfigMap"}
_KEYS = {known.name: known.keys for known in (KAGGLE, S3_KEYS, S3_PUSH_KEYS, S3_SETTINGS, KFP_S3_KEYS)}
_S3_ENDPOINT = f"{POD_PREFIX}AWS_ENDPOINT_URL_S3"


@dataclass(frozen=True)
class ObjectUse:
    """A Secret or a ConfigMap of a pod, and the keys that the step reads. A pod can start without an optional one."""

    kind: str
    name: str
    keys: tuple[str, ...]
    is_optional: bool


@dataclass(frozen=True)
class Step:
    """The requests of a step's pod.

    Attributes:
        name: The step.
        image: The image's name.
        cpu: The requested cores, as a Kubernetes quantity.
        memory: The requested memory, likewise; empty without a request.
        accelerators: The requested number of each accelerator, such as nvidia.com/gpu; may be empty.
        node_selector: The labels that its node must have.
        tolerations: The taints that it tolerates, in Kubernetes's format.
        volumes: The mount paths of persistent volumes.
        disk_limits: The size limits of its temporary folders on the node's disk, by folder.
        objects: The Secrets and ConfigMaps that it gets.
    """

    name: str
    image: str
    cpu: str
    memory: str
    accelerators: dict[str, int]
    node_selector: dict[str, str]
    tolerations: tuple[dict[str, str], ...]
    volumes: tuple[str, ...]
    disk_limits: dict[str, str]
    objects: tuple[ObjectUse, ...]


@dataclass(frozen=True)
class Submission:
    """A compiled pipeline with the values of its parameters, given or by default.

    Attributes:
        steps: The requests of each step's pod.
        values: The values by parameter.
        missing: The parameters without a value.
        needs: The release of Kubeflow Pipelines that it needs.
        s3_endpoint: The S3 endpoint that it names; may be empty.
    """

    steps: tuple[Step, ...]
    values: dict[str, Any]
    missing: tuple[str, ...]
    needs: Needs
    s3_endpoint: str

    def steps_without(self, folder: str) -> list[str]:
        """The steps whose pods mount no volume with a folder, so that each would see its own empty one."""
        return [step.name for step in self.steps if not any(is_below(folder, volume) for volume in step.volumes)]


def pod_path(name: str, value: str) -> str:
    """The path in pods that a parameter names; empty if it is not a path but empty, a keyword or an address."""
    if name == "source":
        kind, _, place = value.partition(":")
        return place if kind == "dir" and "://" not in place else ""
    is_word = (name == "weights" and value in ("imagenet", "none")) or (name == "labels" and not value.startswith("/"))
    return "" if is_word or "://" in value else value


def is_below(folder: str, other: str) -> bool:
    """Whether a folder of a pod is another one, or is inside it."""
    return folder == other or folder.startswith(other.rstrip("/") + "/")


def read_submission(
    path: Path, words: list[str], registry: str = "", tag: str = "", digests: Mapping[str, str] | None = None
) -> Submission:
    """Reads the requests of a compiled pipeline that is run with arguments.

    Args:
        path: The compiled pipeline.
        words: The arguments, as NAME=VALUE.
        registry: The registry of the images: see `with_images`, also for tag and digests.
        tag: Their tag.
        digests: Their digests.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is missing or not a compiled pipeline, or an argument is invalid.
    """
    compiled = read_compiled(path)
    with _as_compiled(path):
        parameters = load_parameters(path)
    values = {name: parameter.default for name, parameter in parameters.items() if not parameter.is_required}
    values |= parse_arguments(words, parameters)
    text = with_images(compiled, registry, tag, digests)
    with _as_compiled(path):
        spec, *others = yaml.safe_load_all(text)
        pods = others[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if others else {}
        executors = spec["deploymentSpec"]["executors"]
        containers = {name: executor["container"] for name, executor in executors.items() if "container" in executor}
        steps = tuple(
            _read_step(name.removeprefix("exec-"), container, pods.get(name, {}), values)
            for name, container in containers.items()
        )
        variables = (variable for container in containers.values() for variable in container.get("env", []))
        s3_endpoint = next((one["value"] for one in variables if one["name"] == _S3_ENDPOINT), "")
        needs = read_needs(text)
    return Submission(steps, values, tuple(name for name in parameters if name not in values), needs, s3_endpoint)


@contextlib.contextmanager
def _as_compiled(path: Path) -> Iterator[None]:
    try:
        yield
    except (yaml.YAMLError, LookupError, ValueError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(
            f"{path}: expected what `python -m pipeline compile` writes. Received: something else ({type(error).__name__})"
        ) from None


def _read_step(name: str, container: dict[str, Any], pod: dict[str, Any], values: dict[str, Any]) -> Step:
    resources = container.get("resources", {})
    accelerator = resources.get("accelerator")
    volumes = [volume["mountPath"] for volume in pod.get("pvcMount", [])]
    limits = [mount for mount in pod.get("emptyDirMounts", []) if mount.get("medium") != "Memory"]
    return Step(
        name=name,
        image=container["image"],
        cpu=resources.get("resourceCpuRequest", ""),
        memory=resources.get("resourceMemoryRequest", ""),
        accelerators={accelerator["resourceType"]: int(accelerator["resourceCount"])} if accelerator else {},
        node_selector=_read_node_selector(pod.get("nodeSelector", {}), values),
        tolerations=tuple(pod.get("tolerations", [])),
        volumes=tuple(volumes),
        disk_limits={limit["mountPath"]: limit.get("sizeLimit", "") for limit in limits},
        objects=tuple(_read_objects(pod)),
    )


def _read_node_selector(selector: dict[str, Any], values: dict[str, Any]) -> dict[str, str]:
    labels = dict(selector.get("labels", {}))
    given = selector.get("nodeSelectorJson", {})
    # Inside an exit handler, a pipeline's parameter has a longer name.
    parameter = given.get("componentInputParameter", "").removeprefix("pipelinechannel--")
    return labels | (values.get(parameter) or given.get("runtimeValue", {}).get("constant") or {})


def _read_objects(pod: dict[str, Any]) -> Iterator[ObjectUse]:
    for field, kind in _OBJECT_FIELDS.items():
        for use in pod.get(field, []):
            name = use.get(f"{kind}Name") or _constant(use[f"{kind}NameParameter"])
            keys = tuple(key[f"{kind}Key"] for key in use.get("keyToEnv", []))  # a volume has all keys
            yield ObjectUse(_KINDS[kind], name, keys or _KEYS.get(name, ()), use.get("optional", False))


def _constant(value: dict[str, Any]) -> str:
    return str(value["runtimeValue"]["constant"])
