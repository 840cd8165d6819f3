"""The files that a prediction writes: all of them appear when it is complete, and the first one last."""

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components import storage
from components.artifacts.labels import format_target
from components.serving.predict.decoding import Batch


def predictions_header(class_names: Sequence[str]) -> list[str]:
    """The columns of a table of predictions."""
    return ["Id", "Decisions", *class_names]


def predictions_row(sample_id: str, decided: Sequence[str], probabilities: np.ndarray) -> list[str]:
    """A row of a table of predictions.

    Args:
        sample_id: The sample.
        decided: The names of the classes that were decided for.
        probabilities: float32, shape (classes,). They are written with all of their digits.
    """
    return [sample_id, "; ".join(decided), *probabilities.astype(str).tolist()]


class Outputs:
    """Writes row by row, so that memory does not grow.

    | file | columns |
    |---|---|
    | `predictions.csv` | Id; Decisions, the names of the classes, separated by `; `; the probability of each class |
    | `predictions.submission.csv` | Id and Predicted, as Kaggle takes it: of every sample, with nothing for one that is bad |
    | `predictions.bad.csv` | Id and Reason of each sample that cannot be used, and of each ignored image file, by its path |

    Attributes:
        num_good: The samples that were predicted so far.
        num_bad: Those that cannot be used.
    """

    def __init__(self, predictions: Any, submission: Any, bad: Any, class_names: Sequence[str]) -> None:
        self._predictions, self._submission, self._bad = predictions, submission, bad
        self._class_names = class_names
        self.num_good = self.num_bad = 0
        predictions.writerow(predictions_header(class_names))
        submission.writerow(["Id", "Predicted"])
        bad.writerow(["Id", "Reason"])

    def write(self, batch: Batch, probabilities: np.ndarray, decisions: np.ndarray) -> None:
        """Writes what the model says of a batch.

        Args:
            batch: The samples.
            probabilities: float32, shape (samples, classes).
            decisions: bool, the same shape.
        """
        decided_classes = [np.flatnonzero(decided).tolist() for decided in decisions]
        for sample_id, reason, scores, decided in zip(batch.ids, batch.reasons, probabilities, decided_classes, strict=True):
            if reason:
                self._bad.writerow([sample_id, reason])
                self._submission.writerow([sample_id, ""])
                self.num_bad += 1
            else:
                names = [self._class_names[number] for number in decided]
                self._predictions.writerow(predictions_row(sample_id, names, scores))
                self._submission.writerow([sample_id, format_target(decided)])
                self.num_good += 1

    def write_ignored(self, ignored: Mapping[str, str]) -> None:
        """Lists image files that belong to no sample, each with the reason."""
        self._bad.writerows(ignored.items())


def output_uris(out_uri: str) -> tuple[str, str, str]:
    """The predictions, the submission and the list of what is bad."""
    stem = out_uri.removesuffix(".csv")
    return out_uri, f"{stem}.submission.csv", f"{stem}.bad.csv"


@contextlib.contextmanager
def open_outputs(out_uri: str, class_names: Sequence[str]) -> Iterator[Outputs]:
    """Gives what to write to, and publishes it on a clean exit.

    Raises:
        FileExistsError: If there are predictions of this name.
        IsADirectoryError: If the name is that of a folder.
    """
    predictions, submission, bad = output_uris(out_uri)
    if storage.is_local(predictions) and Path(predictions).is_dir():
        raise IsADirectoryError(f"{predictions} is a folder: expected the name of a file to write, such as predictions.csv")
    if storage.exists(predictions):
        raise FileExistsError(f"{predictions} exists already, and is not overwritten: give another name, or delete it")
    for uri in (submission, bad):  # a kill may have left them, just before the predictions were published
        storage.remove(uri)
    with (
        storage.create(predictions) as predictions_path,
        storage.create(submission) as submission_path,
        storage.create(bad) as bad_path,
        contextlib.ExitStack() as files,
    ):
        yield Outputs(_open(files, predictions_path), _open(files, submission_path), _open(files, bad_path), class_names)


def _open(files: contextlib.ExitStack, path: Path) -> Any:
    # A name that is in no encoding is written as `\\udcff`, so that it can be told.
    file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    return csv.writer(files.enter_context(file), lineterminator="\n")
