"""The files that a prediction writes. They appear only when it is complete, `predictions.csv` last."""

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components import storage
from components.artifacts.labels import format_target
from components.runtime.wording import printable
from components.serving.model import Predictions, ServedModel
from components.serving.predict.decoding import Batch


def predictions_header(class_names: Sequence[str]) -> list[str]:
    """The columns of a table of predictions."""
    return ["Id", "Decisions", *class_names]


def predictions_row(sample_id: str, decided: Sequence[str], probabilities: np.ndarray) -> list[str]:
    """A row of a table of predictions.

    Args:
        sample_id: The sample.
        decided: The names of the predicted classes.
        probabilities: float32, shape (classes,), written with all digits.
    """
    return [sample_id, "; ".join(decided), *probabilities.astype(str).tolist()]


class Outputs:
    """Writes row by row, in constant memory.

    | file | columns |
    |---|---|
    | `predictions.csv` | Id; Decisions, the names of the classes, separated by `; `; the probability of each class |
    | `predictions.submission.csv` | Id and Predicted in Kaggle's format, for every sample; empty for bad ones |
    | `predictions.bad.csv` | Id and Reason of each sample that cannot be used, and path and Reason of each ignored image file |
    | `predictions.distances.csv` | Id, Distance from the training images, and Unlike (`yes`, `no`, unknown) of each sample |

    Attributes:
        num_good: How many samples were predicted so far.
        num_bad: How many cannot be used.
        first_bad: The first of those, with the reason.
        unlike: The ids of those that look unlike the training images.
    """

    def __init__(self, class_names: Sequence[str], predictions: Any, submission: Any, bad: Any, distances: Any) -> None:
        self._predictions, self._submission, self._bad, self._distances = predictions, submission, bad, distances
        self._class_names = class_names
        self.num_good = self.num_bad = 0
        self.first_bad = ""
        self.unlike: list[str] = []
        predictions.writerow(predictions_header(class_names))
        submission.writerow(["Id", "Predicted"])
        bad.writerow(["Id", "Reason"])
        distances.writerow(["Id", "Distance", "Unlike"])

    def write(self, batch: Batch, predictions: Predictions, model: ServedModel) -> None:
        """Writes the predictions for a batch."""
        for row, (sample_id, reason) in enumerate(zip(batch.ids, batch.reasons, strict=True)):
            decided = np.flatnonzero(predictions.decisions[row]).tolist()
            if reason:
                self._bad.writerow([sample_id, reason])
                self._submission.writerow([sample_id, ""])
                self.num_bad += 1
                self.first_bad = self.first_bad or printable(f"{sample_id}: {reason}")
            else:
                names = [self._class_names[number] for number in decided]
                self._predictions.writerow(predictions_row(sample_id, names, predictions.probabilities[row]))
                self._submission.writerow([sample_id, format_target(decided)])
                self.num_good += 1
                if (distance := predictions.distance(row)) is not None:
                    self._write_distance(sample_id, distance, model.is_unlike_training(distance))

    def _write_distance(self, sample_id: str, distance: float, is_unlike: bool | None) -> None:
        self._distances.writerow([sample_id, f"{distance:.4f}", {True: "yes", False: "no", None: ""}[is_unlike]])
        if is_unlike:
            self.unlike.append(sample_id)

    def write_ignored(self, ignored: Mapping[str, str]) -> None:
        """Lists the image files that belong to no sample, with reasons."""
        self._bad.writerows(ignored.items())


def output_uris(out_uri: str) -> tuple[str, str, str, str]:
    """The URIs of the predictions, the submission, the bad samples, and the distances from the training images."""
    stem = out_uri.removesuffix(".csv")
    return out_uri, f"{stem}.submission.csv", f"{stem}.bad.csv", f"{stem}.distances.csv"


@contextlib.contextmanager
def open_outputs(out_uri: str, class_names: Sequence[str]) -> Iterator[Outputs]:
    """Opens the outputs, and publishes them on a clean exit.

    Raises:
        FileExistsError: If predictions of this name exist.
        IsADirectoryError: If there is a folder of this name.
    """
    predictions, *others = output_uris(out_uri)
    if storage.is_local(predictions) and Path(predictions).is_dir():
        raise IsADirectoryError(f"{predictions} is a folder: expected the name of a file to write, such as predictions.csv")
    if storage.exists(predictions):
        raise FileExistsError(f"{predictions} already exists: delete it, or give another name")
    for uri in others:  # a process killed just before publishing the predictions may have left them
        storage.remove(uri)
    with contextlib.ExitStack() as published, contextlib.ExitStack() as files:
        paths = [published.enter_context(storage.create(uri)) for uri in (predictions, *others)]
        yield Outputs(class_names, *(_open(files, path) for path in paths))


def _open(files: contextlib.ExitStack, path: Path) -> Any:
    # A name that is not valid UTF-8 is written with escapes such as `\\udcff`.
    file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    return csv.writer(files.enter_context(file), lineterminator="\n")
