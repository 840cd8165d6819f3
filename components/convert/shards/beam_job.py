"""A Beam job whose elements are whole shards, each written by one call.

Only file names go in, and nothing comes out: each shard is described by a file beside it. A job is therefore the same on every
engine, and its memory is constant.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from components import storage
from components.runtime.progress import progress_bar
from components.storage.read_ahead import start_readers


class Task(Protocol):
    """A shard to write: see `components.convert.shards.tasks.ShardTask` and `components.convert.shards.resplit.CopyTask`."""

    @property
    def part_uri(self) -> str:
        """The file that describes the finished shard."""

    @property
    def source_uri(self) -> str:
        """The folder that it is read from."""

    @property
    def num_samples(self) -> int:
        """The number of its input samples."""


_Task = TypeVar("_Task", bound=Task)


def run_job(write: Callable[[_Task, Executor], None], tasks: Sequence[_Task], options: PipelineOptions) -> None:
    """Writes shards on the engine that the options name.

    Args:
        write: Writes one shard, and reads with the given threads. It must be a function of a module that workers can import.
        tasks: The shards, all from one folder.
        options: The engine and its options.
    """
    with _progress(tasks), beam.Pipeline(options=options) as pipeline:
        shards = pipeline | "Shards" >> beam.Create(tasks, reshuffle=True)
        shards | "Write" >> beam.ParDo(WriteShard(write, tasks[0].source_uri))


class WriteShard(beam.DoFn):  # type: ignore[misc]
    """Writes shards one after another, and prefetches the images of each."""

    def __init__(self, write: Callable[[Any, Executor], None], source_uri: str) -> None:
        self._write = write
        self._source_uri = source_uri

    def setup(self) -> None:
        """Starts the reading threads. They and their connections last as long as the worker."""
        self._readers = start_readers(self._source_uri)

    def process(self, task: Any) -> None:
        """Writes the shard of a task. Returns nothing: see the module's documentation."""
        self._write(task, self._readers)

    def teardown(self) -> None:
        """Stops the threads."""
        self._readers.shutdown()


@contextmanager
def _progress(tasks: Sequence[Task]) -> Iterator[None]:
    """Shows the number of samples in finished shards. It counts files, and so works with every engine."""
    sizes = {task.part_uri.rpartition("/")[2]: task.num_samples for task in tasks}
    parts_uri = tasks[0].part_uri.rpartition("/")[0]
    finished = threading.Event()

    def count() -> int:
        return sum(sizes.get(name, 0) for name in storage.list_names(parts_uri))

    def watch() -> None:
        while not finished.wait(1.0):
            progress.update(count() - progress.n)

    with progress_bar(sum(sizes.values()), "samples") as progress:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()
            progress.update(count() - progress.n)
