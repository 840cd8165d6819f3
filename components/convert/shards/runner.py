"""The Beam engine of a job."""

import argparse
import logging
import shlex
from dataclasses import dataclass

import joblib  # type: ignore[import-untyped]
from apache_beam.options.pipeline_options import PipelineOptions

from components import storage
from components.artifacts.parameters import LOCAL_RUNNER, check_parameters, parse_runner
from components.runtime.wording import size_of

# The full name of Beam's engine for one machine: its `DirectRunner` may first try to download another one.
_LOCAL_ENGINE = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
# One process converts this much in the few seconds that worker processes take to start and end.
_MIN_BYTES_FOR_PROCESSES = 500_000_000
# Copying waits for the disk: a few threads keep it busy despite the GIL.
_COPYING_THREADS = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """The engine that the parameters name.

    Attributes:
        runner: `local`, or a runner as Beam names it.
        flags: Options for Beam, as on a command line.
    """

    runner: str
    flags: tuple[str, ...] = ()

    @classmethod
    def named(cls, beam_runner: str, beam_options: str) -> "Engine":
        """The engine that a pipeline's parameters name.

        Args:
            beam_runner: `local`, or a runner as Beam names it, such as `DataflowRunner` or `Flink`.
            beam_options: Further command-line options for Beam, such as `--project=p --region=r`.

        Raises:
            ValueError: If Beam does not know the runner or an option, or if there are options for `local`, which takes none.
        """
        check_parameters(beam_runner=beam_runner)
        runner = parse_runner(beam_runner)
        if runner == LOCAL_RUNNER:
            if beam_options:
                raise ValueError(f"beam_options need a beam_runner other than local. Received: beam_options={beam_options}")
            return cls(runner)
        return cls(runner, _split_flags(beam_options))

    def check_data_root(self, data_root: str) -> None:
        """Refuses a folder that workers cannot reach.

        Raises:
            ValueError: If the runner is Dataflow and the folder is local.
        """
        if self.runner == "DataflowRunner" and storage.is_local(data_root):
            raise ValueError(
                f"data_root: Dataflow's workers cannot reach a local folder: expected gs://<bucket>/<prefix>. "
                f"Received: data_root={data_root}"
            )

    def decoding_options(self, num_bytes: int) -> PipelineOptions:
        """Options for a job that decodes images.

        Args:
            num_bytes: The size of the files, which decides how a local job runs: in this process, or in one process per core.
        """
        if self.runner == LOCAL_RUNNER:
            return _local_decoding_options(num_bytes)
        return self._remote_options()

    def copying_options(self) -> PipelineOptions:
        """Options for a job that copies records."""
        if self.runner == LOCAL_RUNNER:
            _log.info("Beam copies in %d threads of this process", _COPYING_THREADS)
            return _local_options("multi_threading", _COPYING_THREADS)
        return self._remote_options()

    def _remote_options(self) -> PipelineOptions:
        _log.info("Beam runs on %s", self.runner)
        # Decoding holds the GIL, and a worker that reads ahead is never idle: more threads would only take memory.
        return PipelineOptions([f"--runner={self.runner}", "--number_of_worker_harness_threads=1", *self.flags])


def in_process_options() -> PipelineOptions:
    """Options for a small job, which runs in this process."""
    return _local_options("in_memory", 1)


def _local_decoding_options(num_bytes: int) -> PipelineOptions:
    num_cores = joblib.cpu_count()  # those of the container, often fewer than the machine's
    if num_cores == 1 or num_bytes < _MIN_BYTES_FOR_PROCESSES:
        _log.info("Beam runs in this process: %s of images, %d cores", size_of(num_bytes), num_cores)
        return in_process_options()
    _log.info("Beam runs in %d processes, one per core: %s of images", num_cores, size_of(num_bytes))
    return _local_options("multi_processing", num_cores)


def _local_options(mode: str, num_workers: int) -> PipelineOptions:
    return PipelineOptions(
        [f"--runner={_LOCAL_ENGINE}", f"--direct_running_mode={mode}", f"--direct_num_workers={num_workers}"]
    )


def _split_flags(beam_options: str) -> tuple[str, ...]:
    """Splits options, and refuses those that Beam would ignore with only a warning."""
    unknown: list[str] = []

    def parse(parser: argparse.ArgumentParser) -> None:
        parser.exit_on_error = False
        unknown.extend(parser.parse_known_args(flags)[1])

    try:
        flags = tuple(shlex.split(beam_options))
        PipelineOptions(flags).get_all_options(add_extra_args_fn=parse)
    except (ValueError, argparse.ArgumentError) as error:
        raise ValueError(f"beam_options: {error}. Received: beam_options={beam_options}") from None
    if unknown:
        raise ValueError(
            f"beam_options: Beam does not know {' '.join(unknown)}: expected options such as --project=<name>. "
            f"Received: beam_options={beam_options}"
        )
    return flags
