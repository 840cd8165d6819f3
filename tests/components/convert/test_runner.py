import pytest
from apache_beam.options.pipeline_options import DirectOptions, GoogleCloudOptions, PipelineOptions, StandardOptions

from components.convert.runner import local_options, runner_options


def _runner(options: PipelineOptions) -> str:
    return str(options.view_as(StandardOptions).runner)


def test_a_local_job_runs_on_an_engine_that_is_installed() -> None:
    assert _runner(runner_options("local", "", 10)).endswith(".FnApiRunner")
    assert _runner(local_options(10**6)).endswith(".FnApiRunner")


def test_a_small_local_job_runs_in_this_process() -> None:
    assert local_options(10).view_as(DirectOptions).direct_running_mode == "in_memory"


def test_another_engine_gets_the_options_as_on_a_command_line() -> None:
    options = runner_options("DataflowRunner", "--project=p --region r --temp_location='gs://a b/c'", 10)
    assert _runner(options) == "DataflowRunner"
    cloud = options.view_as(GoogleCloudOptions)
    assert (cloud.project, cloud.region, cloud.temp_location) == ("p", "r", "gs://a b/c")


def test_options_with_a_quote_that_never_ends_are_refused() -> None:
    with pytest.raises(ValueError, match="quot"):
        runner_options("DataflowRunner", "--project='p", 10)
