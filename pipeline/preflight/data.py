"""Checks that the run's data can be read and written, and fits on the disks."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from components.artifacts.image_names import DEFAULT_PATTERN, ImageNames
from components.artifacts.labels import parse_channels, stains_of_source
from components.artifacts.parameters import FOLDER_LAYOUT, TABLE_LAYOUT, check_parameters
from components.runtime.wording import count_of, size_of
from pipeline.isolated import call_isolated
from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.kubernetes_api import Node, quantity
from pipeline.preflight.submission import Step, Submission, is_below, pod_path

_Result = TypeVar("_Result")

# The size of a record besides its pixels: its name, its labels, and its frame.
_RECORD_BYTES = 250
_PLACES = ("data_root", "serving_root")
# The parameters that may be a file, and the step that reads it.
_FILES = {"classes": "ingest", "labels": "ingest", "weights": "train"}
# The parameters for the layout of a source.
_LAYOUT = ("classes", "channels", *FOLDER_LAYOUT, *TABLE_LAYOUT)
# The steps that copy examples to their own disk.
_STAGING = ("train", "evaluate")
_TEMPORARY = "/tmp"


@dataclass(frozen=True)
class SourceSize:
    """The size of a source, as far as it is known."""

    num_samples: int | None
    num_bytes: int | None


def survey_source(submission: Submission, timeout_s: float) -> SourceSize:
    """Measures the size of the source with ingest's code.

    Raises:
        FailedError: If ingest could not read it.
        NotCheckedError: If that cannot be known here.
    """
    source = submission.values.get("source")
    if not source:
        raise NotCheckedError("source is not given")
    if folder := pod_path("source", source):
        _check_mounted(submission, "source", folder)
        raise NotCheckedError(f"{source} is a folder of the cluster, which cannot be seen from here")
    layout = {name: submission.values[name] for name in _LAYOUT if name in submission.values}
    ask = partial(measure_source, source, bool(submission.values.get("include_test")), **layout)
    return _ask(ask, submission.s3_endpoint, timeout_s, _whose(source))


def measure_source(source: str, include_test: bool = False, **layout: Any) -> SourceSize:
    """Measures the size of a source with ingest's code, in this process.

    Args:
        source: The parameter of this name.
        include_test: Likewise.
        **layout: The given parameters of `_LAYOUT`.

    Raises:
        FailedError: If ingest could not read it.
        NotCheckedError: If that cannot be known here.
    """
    from components.ingest.archive.retry import TransientError  # noqa: PLC0415
    from components.ingest.sources.label_table import LabelTable  # noqa: PLC0415
    from components.ingest.survey import survey  # noqa: PLC0415
    from components.storage import NoCredentialsError  # noqa: PLC0415

    try:
        check_parameters(source=source, **layout)
        stains = stains_of_source(parse_channels(layout.get("channels", "rgb")))
        names = ImageNames(layout.get("file_pattern", DEFAULT_PATTERN), layout.get("filters", ""), stains)
        table = LabelTable(layout.get("labels", ""), **{name: layout[name] for name in TABLE_LAYOUT if name in layout})
        found = survey(source, include_test, layout.get("classes", ""), names, table)
    except (TransientError, NoCredentialsError) as error:
        raise NotCheckedError(str(error)) from None
    except (ValueError, FileNotFoundError, PermissionError) as error:
        raise FailedError(str(error)) from None
    except OSError as error:  # such as a store that only the cluster can reach
        raise NotCheckedError(str(error)) from None
    return SourceSize(found.num_samples, found.num_bytes)


def _ask(function: Callable[[], _Result], s3_endpoint: str, timeout_s: float, whose: str) -> _Result:
    """Calls a function in a separate process: a thread that hangs, such as in a transfer, would keep this one from ending.

    If the compiled pipeline names an S3 endpoint, that one is used.

    Raises:
        FailedError: If the function raises it. The message then ends with `whose`: which credentials were used.
        NotCheckedError: Likewise, and if there is no answer in time, or a package is missing.
    """
    said: deque[str] = deque(maxlen=1)
    try:
        return call_isolated(partial(_call_at, s3_endpoint, function), timeout_s, said.append)
    except (FailedError, NotCheckedError) as error:
        raise type(error)(f"{error} {whose}".rstrip()) from None
    except ModuleNotFoundError as error:
        raise NotCheckedError(f"{error}, which `make setup` installs") from None
    except (TimeoutError, BrokenProcessPool) as error:
        last = f": {said[0].strip()}" if said else ""
        raise NotCheckedError(f"{error}{last} {whose}".rstrip()) from None


def _call_at(s3_endpoint: str, function: Callable[[], _Result]) -> _Result:
    if s3_endpoint:
        os.environ["AWS_ENDPOINT_URL_S3"] = s3_endpoint
    return function()


def _whose(source: str) -> str:
    if source.startswith("synthetic:"):
        return ""
    account = "secret on the cluster" if source.startswith("kaggle:") else "cluster's service account"
    return f"(checked with this machine's credentials; the run uses the {account})"


def check_source(submission: Submission, size: "Future[SourceSize]") -> str:
    """Checks that the source can be read, with this machine's credentials, and reports its size."""
    found, source = size.result(), submission.values["source"]
    parts = [count_of(found.num_samples, "sample")] if found.num_samples else []
    parts += [size_of(found.num_bytes)] if found.num_bytes else []
    return f"{source}: {', '.join(parts)} {_whose(source)}".rstrip()


def check_places(submission: Submission, timeout_s: float) -> str:
    """Writes and removes a small object where data and models go, with this machine's credentials."""
    for name in (*_FILES, *_PLACES):
        if path := pod_path(name, submission.values.get(name, "")):
            _check_mounted(submission, name, path)
    given = {name: submission.values[name] for name in _PLACES if submission.values.get(name)}
    if not given:
        raise NotCheckedError(f"{' and '.join(_PLACES)} are not given")
    buckets = sorted({place for name, place in given.items() if not pod_path(name, place)})
    if not buckets:
        raise NotCheckedError("these are folders of the cluster, which cannot be seen from here")
    whose = "with this machine's credentials; the run uses the cluster's service account"
    _ask(partial(write_probes, buckets), submission.s3_endpoint, timeout_s, f"(tried {whose})")
    return f"{', '.join(buckets)}: a test object was written and removed {whose}"


def write_probes(places: list[str]) -> None:
    """Writes and removes a small object in each place, in this process.

    Raises:
        FailedError: If a place cannot be written to.
        NotCheckedError: If that cannot be known here.
    """
    from components.storage import NoCredentialsError  # noqa: PLC0415
    from components.storage.probe import probe  # noqa: PLC0415

    wrong, unknown = [], []
    for place in places:
        try:
            probe(place)
        except NoCredentialsError as error:  # also missing for the other places
            unknown.append(str(error))
            break
        except (FileNotFoundError, PermissionError, ValueError) as error:
            wrong.append(str(error))
        except OSError as error:
            unknown.append(str(error))
    if wrong:
        raise FailedError("\n".join([*wrong, *unknown]))
    if unknown:
        raise NotCheckedError("\n".join(unknown))


def check_weights(submission: Submission) -> str:
    """Reports the initial weights of the training, and whether its pod downloads them.

    Raises:
        NotCheckedError: If the pod downloads ImageNet's weights.
    """
    weights = submission.values.get("weights", "none")
    if weights != "imagenet":
        return f"weights={weights}: not downloaded from Keras"
    raise NotCheckedError(
        "weights=imagenet is downloaded in train's pod, from storage.googleapis.com. Whether that has access to the internet "
        "cannot be seen from here. Without access: copy the file that Keras keeps in ~/.keras/models (its name contains notop) "
        "into a bucket, and give weights=gs://<bucket>/<file> or s3://<bucket>/<file>"
    )


def _check_mounted(submission: Submission, name: str, path: str) -> None:
    """Refuses a path that pods would look for on their own disks."""
    if without := [step for step in submission.steps_without(path) if step == _FILES.get(name, step)]:
        raise FailedError(
            f"{name}={path} is a path, but the compiled pipeline mounts no shared volume there in {', '.join(without)}: "
            "each pod would look for it on its own empty disk. Give a gs:// or s3:// address"
        )


def check_data_fits(submission: Submission, size: "Future[SourceSize]", list_nodes: Callable[[], list[Node]]) -> str:
    """Compares the estimated size of the examples with the disks that pods copy them to."""
    try:
        found = size.result()
    except (FailedError, NotCheckedError):
        raise NotCheckedError("the size of the source is not known: see above") from None
    if not found.num_samples:
        raise NotCheckedError("the number of samples is not known before ingest has read the source")
    side_px, channels = int(submission.values["image_size_px"]), len(parse_channels(submission.values["channels"]))
    num_bytes = found.num_samples * (side_px * side_px * channels + _RECORD_BYTES)
    estimate = (
        f"{count_of(found.num_samples, 'sample')} of {side_px} px in {count_of(channels, 'channel')} are {size_of(num_bytes)} "
        "of examples"
    )
    if not (data_root := submission.values.get("data_root")):
        raise NotCheckedError(f"{estimate}; data_root is not given")
    if pod_path("data_root", data_root):
        return f"{estimate}, read where they are"
    steps = [step for step in submission.steps if step.name in _STAGING]
    limits = [_check_folder(step, num_bytes, estimate) for step in steps]
    try:
        nodes = list_nodes()
    except NotCheckedError as error:
        raise NotCheckedError(f"{estimate}; but {error}") from None
    for step in steps:
        _check_disk(step, nodes, num_bytes, estimate)
    return f"{estimate}: they fit on the disks of {' and '.join(step.name for step in steps)}{''.join(limits)}"


def _check_disk(step: Step, nodes: list[Node], num_bytes: int, estimate: str) -> None:
    """Refuses data larger than the disk of any node that a step may use."""
    usable = [node for node in nodes if node.has_labels(step.node_selector) and not node.repelling(step)]
    if not usable:
        raise NotCheckedError(f"{estimate}. There is currently no node whose disk {step.name} would use")
    largest_bytes = int(max(node.has("ephemeral-storage") for node in usable))
    if largest_bytes < num_bytes:
        raise FailedError(
            f"{estimate}, and {step.name} copies them to its node's disk, which has {size_of(largest_bytes)} for pods. "
            "Give the pool larger disks (--disk-size), or take a smaller image_size_px"
        )


def _check_folder(step: Step, num_bytes: int, estimate: str) -> str:
    """Refuses data larger than the limit of a step's temporary folder, and reports the limit."""
    limit = next((limit for folder, limit in step.disk_limits.items() if is_below(_TEMPORARY, folder)), "")
    if not limit:
        return ""
    if quantity(limit) < num_bytes:
        raise FailedError(
            f"{estimate}, and {step.name}'s {_TEMPORARY} may hold {limit}: raise it in pipeline/placement.py and compile, "
            "or take a smaller image_size_px"
        )
    return f", {limit} at most in {step.name}"
