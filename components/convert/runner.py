"""Which Beam engine a job runs on."""

import os
import shlex

from apache_beam.options.pipeline_options import PipelineOptions

# Below this a second process costs more to start than it saves.
_MIN_SAMPLES_FOR_PROCESSES = 4000
# Named in full: Beam's `DirectRunner` may first try to download another engine.
_LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def local_options(num_samples: int = 0) -> PipelineOptions:
    """Options for this machine: in this process, or in one process a core where there is enough to do."""
    num_workers = os.cpu_count() or 1
    if num_samples < _MIN_SAMPLES_FOR_PROCESSES or num_workers == 1:
        return PipelineOptions([f"--runner={_LOCAL_RUNNER}", "--direct_running_mode=in_memory"])
    mode = ["--direct_running_mode=multi_processing", f"--direct_num_workers={num_workers}"]
    return PipelineOptions([f"--runner={_LOCAL_RUNNER}", *mode])


def runner_options(beam_runner: str, beam_options: str, num_samples: int) -> PipelineOptions:
    """Options for the engine that a parameter names.

    Args:
        beam_runner: `local`, or a runner as Beam names it, such as `DataflowRunner`.
        beam_options: Further command-line options for Beam, such as `--project=p --region=r`.
        num_samples: How much there is to do, which decides how `local` runs.

    Raises:
        ValueError: If there are options for `local`, which takes none.
    """
    if beam_runner == "local":
        if beam_options:
            raise ValueError(f"beam_options are for another beam_runner than local. Received: beam_options={beam_options}")
        return local_options(num_samples)
    return PipelineOptions([f"--runner={beam_runner}", *shlex.split(beam_options)])
