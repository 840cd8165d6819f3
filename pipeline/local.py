"""Runs the committed pipeline on this machine: the same YAML, with each step as a process instead of a container."""

import contextlib
import io
import os
import re
import secrets
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from components.runtime.environment import RUNNER_PID
from components.runtime.scratch import scratch_folder
from components.runtime.wording import STARTED
from components.train.recipes import RECIPES
from pipeline.compiled import PIPELINE_YAML, ROOT, load_steps, step_tasks
from pipeline.local_run import RUN_PAGE, LocalRun
from pipeline.run_record import DONE, FAILED, STOPPED, RunRecord
from pipeline.traceback_text import last_exception

# Where Keras Applications downloads weights from, by network.
_IMAGENET_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
_IMAGENET_FILES = {
    "inception_resnet_v2": "inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "densenet121": "densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "convnext_tiny": "convnext/convnext_tiny_notop.h5",
    "efficientnet_v2_s": "efficientnet_v2/efficientnetv2-s_notop.h5",
}
# As in the images: without it each step would load KFP's client, which takes seconds.
_STEP_ENVIRONMENT = {"_KFP_RUNTIME": "true"}
_STEP_LINE = re.compile(r"^\s*(\w+) \| (.*)$")
_RUN_LOG = "run.log"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class StepFailedError(RuntimeError):
    """A step of a local run failed. The message names the step, the reason and the log."""

    def __init__(self, step: str, reason: str, log_path: Path) -> None:
        page = log_path.with_name(RUN_PAGE)
        super().__init__(f"{step} failed: {reason}\nThe page of this run: {page}\nIts whole output: {log_path}")
        self.step, self.reason = step, reason


def default_locations(arguments: dict[str, Any], pipeline_root: Path) -> dict[str, Any]:
    """Fills in the locations of data and models, and makes local paths absolute, as steps run in another folder.

    Raises:
        ValueError: If there is no file or folder at a given local path.
    """
    located = {"data_root": str(pipeline_root / "data"), "serving_root": str(pipeline_root / "serving")} | arguments
    for name in ("data_root", "serving_root"):
        located[name] = absolute(located[name])
    if located.get("source", "").startswith("dir:"):
        folder = absolute(located["source"].removeprefix("dir:"))
        if "://" not in folder and not Path(folder).is_dir():
            raise ValueError(f"source: expected a folder with the images and a table of labels. There is no folder {folder}")
        located["source"] = f"dir:{folder}"
    if located.get("classes"):
        located["classes"] = absolute(located["classes"])
        if "://" not in located["classes"] and not Path(located["classes"]).is_file():
            raise ValueError(f"classes: expected a table with the columns index,name. There is no file {located['classes']}")
    if located.get("weights", "none") not in ("none", "imagenet"):
        located["weights"] = absolute(located["weights"])
        if "://" not in located["weights"] and not Path(located["weights"]).is_file():
            raise ValueError(
                f"weights: expected imagenet, none or a file (or gs://..., s3://...). There is no file {located['weights']}"
            )
    return located


def default_weights(recipe: str, backbone: str = "") -> tuple[str, str]:
    """The default weights of a local run: ImageNet's if they can be downloaded, or else none.

    If the address of a network's weights is not known here, they are assumed to be available; the step fails if they are not.

    Args:
        recipe: The name of the recipe.
        backbone: The name of the network; empty for the recipe's.

    Returns:
        The value of `weights`, and the reason if it is not the pipeline's default.
    """
    if not backbone and recipe in RECIPES:
        backbone = RECIPES[recipe].backbone
    file = _IMAGENET_FILES.get(backbone, "")
    cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models" / Path(file).name
    if not file or cache.is_file():
        return "imagenet", ""
    try:
        with urllib.request.urlopen(urllib.request.Request(_IMAGENET_URL + file, method="HEAD"), timeout=5):
            return "imagenet", ""
    except OSError as error:
        return "none", f"the ImageNet weights of {backbone} cannot be downloaded here ({error})"


def absolute(path: str) -> str:
    """The absolute form of a path; addresses are unchanged."""
    return path if "://" in path else str(Path(path).expanduser().resolve())


def run_pipeline(arguments: dict[str, Any], pipeline_root: Path, show: Callable[[str, str], None]) -> LocalRun:
    """Runs the committed pipeline.yaml with KFP's local runner.

    Args:
        arguments: The pipeline's arguments.
        pipeline_root: The folder for the run's artifacts and log, in its own folder below `runs/`.
        show: Called with the step and the text of each of its log lines.

    Raises:
        StepFailedError: If a step fails.
        ValueError: If a path cannot be passed to a step.
    """
    from kfp import components, local  # noqa: PLC0415 (takes seconds, which --help should not)

    folder = pipeline_root.resolve() / "runs" / f"{time.strftime('%Y-%m-%dT%H-%M-%S')}-{secrets.token_hex(2)}"
    _check_paths([str(folder), *map(str, arguments.values())])
    folder.mkdir(parents=True)
    log_path = folder / _RUN_LOG
    pipeline_yaml = without_retries(PIPELINE_YAML.read_text(encoding="utf-8"))
    with (
        _recorded(folder, arguments, pipeline_yaml) as record,
        log_path.open("w", encoding="utf-8") as log,
        scratch_folder() as workspace,  # KFP's own would outlive a kill
        contextlib.chdir(ROOT),  # the steps' commands name their files relative to the project's root
        warnings.catch_warnings(),
        _Transcript(log, record, show) as transcript,
    ):
        # KFP warns about images without "python" in their name: it guesses whether a process can replace the container.
        warnings.filterwarnings("ignore", message=".*custom or non-Python base image.*", category=RuntimeWarning)
        # It also warns about the obvious: a local process has no node pool and no memory limit.
        warnings.filterwarnings("ignore", message=".*have no effect in the current local runner.*", category=UserWarning)
        local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(folder), workspace_root=str(workspace))
        pipeline = components.load_component_from_text(pipeline_yaml)
        os.environ |= {RUNNER_PID: str(os.getpid()), **_STEP_ENVIRONMENT}
        try:
            pipeline(**arguments)
        except RuntimeError as error:
            failed = re.search(r"Inner task failed: '?([\w-]+)'?", _ANSI.sub("", str(error)))
            if not failed:
                raise
            reason = transcript.last_error() or "it was killed, or ended without a message (out of memory?)"
            raise StepFailedError(failed[1], reason, log_path) from None
    return LocalRun(folder)


@contextlib.contextmanager
def _recorded(folder: Path, arguments: dict[str, Any], pipeline_yaml: str) -> Iterator[RunRecord]:
    """Keeps a record of a run in its folder, and writes its page at the end, even if the run fails."""
    record = RunRecord(arguments)
    record.save(folder)
    try:
        yield record
        record.end(DONE)
    except StepFailedError as error:
        record.end(FAILED, error.reason, error.step)
        raise
    except KeyboardInterrupt:
        record.end(STOPPED)
        raise
    except Exception as error:
        record.end(FAILED, str(error))
        raise
    finally:
        # A full disk, or a step stopped while writing, must not hide the run's own outcome.
        with contextlib.suppress(OSError, ValueError):
            record.save(folder)
            from pipeline.run_page import write_run_page  # noqa: PLC0415 (a machine that only submits has no jinja2)

            write_run_page(folder, next(yaml.safe_load_all(pipeline_yaml)), record)


def without_retries(pipeline_yaml: str) -> str:
    """Removes the retries from a compiled pipeline.

    On a cluster they are for lost nodes. Here a failed step would only fail again, minutes later, before its error is shown.
    """
    spec, *platform = yaml.safe_load_all(pipeline_yaml)
    for task in step_tasks(spec).values():
        task.pop("retryPolicy", None)
    return yaml.safe_dump_all([spec, *platform], sort_keys=False)


def _check_paths(values: list[str]) -> None:
    """Refuses paths with python3: KFP's local runner replaces it with the interpreter's path, even within words."""
    for value in values:
        if "python3" in value:
            raise ValueError(f"a local run cannot use a path with 'python3' in it: KFP would replace it. Received: {value}")


class _Transcript(io.TextIOBase):
    """Replaces standard output during a run: all of it goes to the log, and the steps' lines are shown."""

    def __init__(self, log: io.TextIOBase, record: RunRecord, show: Callable[[str, str], None]) -> None:
        self._log, self._record, self._show, self._lines, self._rest = log, record, show, [""], ""
        self._redirect = contextlib.redirect_stdout(self)
        self._steps = load_steps()  # once, as it reads the whole file

    def __enter__(self) -> "_Transcript":
        self._redirect.__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._redirect.__exit__(*exc_info)

    def write(self, text: str) -> int:
        text = _ANSI.sub("", text)
        self._log.write(text)
        self._log.flush()
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._lines.append(line)
            if (said := _STEP_LINE.match(line)) and said[1] in self._steps:
                if said[2] == STARTED:
                    self._lines.clear()
                self._record.record_line(said[1])
                self._show(said[1], said[2])
        return len(text)

    def last_error(self) -> str:
        """The last exception that the last step printed with its traceback."""
        return last_exception(self._lines)
