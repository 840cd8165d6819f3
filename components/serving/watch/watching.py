"""Predicts the fields of a folder as a microscope writes them, each exactly once despite interruptions."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]

from components.artifacts.image_names import COMPETITION_NAMES, ImageNames
from components.images.image_files import OME_ZARR
from components.images.pixel_size import describe_other_sizes
from components.runtime.background import begin
from components.runtime.scratch import scratch_folder
from components.runtime.wording import count_of, printable
from components.serving.model import Predictions, ServedModel, find_version, load_model, read_manifest
from components.serving.predict.decoding import Batch, Decoders, ImageForm
from components.serving.predict.folder import with_stains
from components.serving.predict.outputs import predictions_row
from components.serving.unlike import describe_unlike
from components.serving.watch.action import Action
from components.serving.watch.fields import Fields
from components.serving.watch.record import Record, open_record

_log = logging.getLogger(__name__)

# Seconds between checks for a new champion, and before one that failed to load is retried.
_LOOK_S, _LOOK_AGAIN_S = 1.0, 60.0


@dataclass(frozen=True)
class Watch:
    """The options of a watch.

    Attributes:
        folder: The folder to watch.
        model_uri: A version, or the folder above the versions to follow the champion.
        out: The CSV file; the others are beside it.
        image_names: How the images are named.
        intensity_range: The grey levels that become 0 and 255; empty: as the model was trained.
        projection: How a stack becomes one plane; empty: as the model was trained.
        settle_s: A file is complete once it has not changed for this many seconds.
        give_up_s: An unusable field is bad once it has not changed for this many seconds.
        skips_existing: Whether to skip fields that are complete at the first start.
        idle_s: The watch ends once it has been idle for this many seconds; None: never.
        action: What to do with the answers.
    """

    folder: str
    model_uri: str
    out: Path
    image_names: ImageNames = COMPETITION_NAMES
    intensity_range: str = ""
    projection: str = ""
    settle_s: float = 2.0
    give_up_s: float = 300.0
    skips_existing: bool = False
    idle_s: float | None = None
    action: Action = field(default_factory=Action)
    precision: str = ""


def watch(task: Watch) -> None:
    """Watches a folder until a signal stops it, or it has been idle for `idle_s`.

    Raises:
        FileNotFoundError: If there is no model or no folder.
        ValueError: If another watch writes the same files, their classes are not the model's, or an option does not fit the
            model; or for OME-Zarr.
    """
    if not Path(task.folder).is_dir():
        raise FileNotFoundError(f"{task.folder}: expected a folder to watch, but there is none")
    if task.image_names.pattern.lower().endswith(OME_ZARR):
        raise ValueError(
            "OME-Zarr cannot be watched, because nothing in such a folder shows that it is complete: run predict once all are "
            f"written. Received: file_pattern={task.image_names.pattern}"
        )
    trained = read_manifest(find_version(task.model_uri))
    task.action.when.check(trained.class_names)
    task = replace(task, image_names=with_stains(task.image_names, trained.channels))
    with _stop_on_signal() as stop, open_record(task.out, trained.class_names) as record:
        _Watching(task, record, stop).run()


class _Watching:
    def __init__(self, task: Watch, record: Record, stop: threading.Event) -> None:
        self._task, self._record, self._stop = task, record, stop
        self._model: ServedModel | None = None
        self._look: Future[str] | None = None
        self._next_look_s = 0.0
        self._has_warned = False
        self._num_predicted = self._num_unlike = 0
        self._poll_s = min(1.0, max(0.05, task.settle_s / 2))

    def run(self) -> None:
        with contextlib.ExitStack() as resources:
            self._follow(resources)
            self._fields = Fields(
                self._task.folder,
                self._task.image_names,
                list(self._decoders.form.filters),
                self._task.settle_s,
                self._task.give_up_s,
            )
            if self._task.skips_existing and not self._record.remember_left_out():
                self._leave_out_existing()
            busy_s = time.monotonic()
            while not self._stop.is_set():
                # Idle means that a listing found nothing: fields may have arrived while others were predicted.
                if not self._list() or self._fields.pending:
                    busy_s = time.monotonic()
                elif self._task.idle_s is not None and time.monotonic() - busy_s >= self._task.idle_s:
                    return
                self._predict_ready(resources)
                self._stop.wait(self._poll_s)
            _log.info("stopped: run the same command to continue")

    def _list(self) -> bool:
        try:
            self._fields.update(self._record.done, time.monotonic())
        except OSError as error:  # such as a network share that is temporarily unavailable
            _log.warning("the folder cannot be listed; trying again: %s", error)
            return False
        return True

    def _leave_out_existing(self) -> None:
        """Skips settled fields. A file still being written at the first start is predicted."""
        self._list()
        if not self._stop.wait(self._task.settle_s):
            self._list()
            now_s = time.monotonic()
            existing = [sample_id for sample_id in self._fields.pending if self._fields.is_complete(sample_id, now_s)]
            self._record.leave_out(existing)
            _log.info("%s complete at the start: skipped", count_of(len(existing), "field"))

    def _predict_ready(self, resources: contextlib.ExitStack) -> None:
        now_s = time.monotonic()
        if self._follow(resources) or not (ready := self._fields.ready(now_s)):
            return
        batches = self._decoders.batches(ready)
        while batch := self._next(batches):
            self._finish(batch, now_s)
            if self._stop.is_set() or self._follow(resources):
                return  # the next listing finds the rest

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        try:
            return next(batches, None)
        except OSError as error:
            _log.warning("the images cannot be read; trying again: %s", error)
            return None

    def _finish(self, batch: Batch, now_s: float) -> None:
        """Writes the results of a batch. Lines and actions come first, because only rows mark fields as done."""
        assert self._model
        predictions = self._model.classify(batch.pixels)
        answers: list[dict[str, Any]] = []
        rows, bad = [], []
        for row, (sample_id, reason) in enumerate(zip(batch.ids, batch.reasons, strict=True)):
            written_s = self._fields.written_at(sample_id)
            if written_s is None:
                continue  # it changed while being read: the next listing finds it again
            if reason:
                if self._fields.is_given_up(sample_id, now_s):
                    _log.warning("%s is bad: %s", sample_id, reason)
                    bad.append([sample_id, reason])
                else:
                    _log.info("%s cannot be used yet: %s", sample_id, reason)
                    self._fields.pending[sample_id].was_tried = True
                continue
            answers.append(_answer(sample_id, self._model, predictions, row, time.time() - written_s))
            rows.append(predictions_row(sample_id, answers[-1]["classes"], predictions.probabilities[row]))
        self._record.write_lines(answers)
        for answer in answers:
            if problem := self._task.action.act(answer):
                self._record.write_failed(answer["id"], problem)
        self._record.write_rows(rows)
        self._record.write_bad(bad)
        for sample_id in batch.ids:
            if printable(sample_id) in self._record.done:
                self._fields.pending.pop(sample_id, None)
        if rows:
            _log.info("%s predicted, the last after %.1f s", count_of(len(rows), "field"), answers[-1]["seconds"])
        self._warn_of_unlike(answers)
        usual_um = self._model.trained.pixel_size_um
        if not self._has_warned and (sizes_um := batch.other_sizes_um(usual_um)):
            _log.warning("%s", describe_other_sizes(sizes_um, usual_um))
            self._has_warned = True

    def _warn_of_unlike(self, answers: list[dict[str, Any]]) -> None:
        unlike = [answer["id"] for answer in answers if answer.get("is_unlike_training")]
        self._num_predicted += len(answers)
        self._num_unlike += len(unlike)
        if unlike:
            _log.warning("%s", describe_unlike(unlike, self._num_unlike, self._num_predicted))

    def _follow(self, resources: contextlib.ExitStack) -> bool:
        """Loads the champion if it has changed. Returns whether it did."""
        if not self._look:
            if time.monotonic() < self._next_look_s:
                return False
            self._look = begin(lambda: find_version(self._task.model_uri))
        if self._model and not self._look.done():
            return False  # a store may not answer for minutes
        look, self._look = self._look, None
        self._next_look_s = time.monotonic() + _LOOK_S
        try:
            uri = look.result()
            if self._model and uri == self._model.uri:
                return False
            self._load(uri, resources)
        except (OSError, ValueError) as error:
            if not self._model:
                raise
            self._next_look_s = time.monotonic() + _LOOK_AGAIN_S
            _log.warning("the champion cannot be used; continuing with version %s: %s", self._model.uri, error)
            return False
        return True

    def _load(self, uri: str, resources: contextlib.ExitStack) -> None:
        trained = read_manifest(uri)
        if not self._record.has_classes(trained.class_names):
            raise ValueError(f"{uri} has different classes from the output files: start a watch with another --out")
        if self._model and trained.channels != self._model.trained.channels:
            raise ValueError(f"{uri} takes different channels from {self._model.uri}: start the watch again")
        task = self._task
        form = ImageForm.of_model(trained, task.image_names, task.intensity_range, task.projection)
        opened = contextlib.ExitStack()
        with contextlib.ExitStack() as undone:
            undone.push(opened)
            folder = opened.enter_context(scratch_folder())
            decoders = opened.enter_context(contextlib.closing(Decoders(task.folder, form, joblib.cpu_count())))
            model = load_model(uri, trained, form.batch_size, folder, task.precision)
            undone.pop_all()
        resources.close()  # of the previous version
        resources.push(opened)
        self._model, self._decoders = model, decoders
        _log.info("the model is %s, %s", uri, model.describe_precision())


def _answer(sample_id: str, model: ServedModel, predictions: Predictions, row: int, seconds: float) -> dict[str, Any]:
    """A field's result, to be written as a line of JSON."""
    class_names = model.trained.class_names
    return {
        "id": sample_id,
        "version": model.version,
        "classes": [name for name, decided in zip(class_names, predictions.decisions[row], strict=True) if decided],
        "probabilities": dict(zip(class_names, predictions.probabilities[row].tolist(), strict=True)),
        **model.precision_fields,
        **model.distance_fields(predictions.distance(row)),
        "seconds": round(seconds, 3),
    }


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yields an event that Ctrl-C or SIGTERM sets. A second signal ends the process at once."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(_number: int, _frame: object) -> None:
        _log.info("stopping after this batch")
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
