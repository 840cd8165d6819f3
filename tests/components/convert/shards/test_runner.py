import pytest
from apache_beam.options.pipeline_options import (
    DebugOptions,
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)

from components.artifacts.parameters import BEAM_RUNNERS
from components.convert.shards import runner
from components.convert.shards.runner import Engine, in_process_options


def _runner(options: PipelineOptions) -> str:
    return str(options.view_as(StandardOptions).runner)


def _mode(options: PipelineOptions) -> tuple[str, int]:
    direct = options.view_as(DirectOptions)
    return direct.direct_running_mode, direct.direct_num_workers


class TestLocal:
    def test_runs_on_an_engine_that_is_installed(self) -> None:
        engine = Engine.named("local", "")
        for options in (engine.decoding_options(10), engine.decoding_options(10**12), engine.copying_options()):
            assert _runner(options).endswith(".FnApiRunner")

    def test_decodes_few_images_in_this_process(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        assert _mode(Engine.named("local", "").decoding_options(10**6)) == ("in_memory", 1)
        assert "Beam runs in this process: 1.0 MB of images" in caplog.text

    @pytest.mark.parametrize(("num_cores", "expected"), [(1, ("in_memory", 1)), (3, ("multi_processing", 3))])
    def test_decodes_many_images_in_one_process_per_core(
        self,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        num_cores: int,
        expected: tuple[str, int],
    ) -> None:
        caplog.set_level("INFO")
        monkeypatch.setattr(runner.joblib, "cpu_count", lambda: num_cores)
        assert _mode(Engine.named("local", "").decoding_options(10**12)) == expected
        assert ("Beam runs in 3 processes, one per core" in caplog.text) == (num_cores == 3)

    def test_copies_in_threads(self) -> None:
        mode, num_threads = _mode(Engine.named("local", "").copying_options())
        assert mode == "multi_threading"
        assert num_threads > 1

    def test_takes_no_options(self) -> None:
        with pytest.raises(ValueError, match=r"a beam_runner other than local\. Received: beam_options=--project=p"):
            Engine.named("local", "--project=p")

    def test_a_small_job_runs_in_this_process(self) -> None:
        assert _mode(in_process_options()) == ("in_memory", 1)


class TestOther:
    @pytest.mark.parametrize("name", ["DataflowRunner", "FlinkRunner", "PortableRunner"])
    def test_gets_its_command_line_options(self, name: str) -> None:
        engine = Engine.named(name, "--project=p --region r --temp_location='gs://a b/c' --experiments=x --experiments=y")
        for options in (engine.decoding_options(10), engine.copying_options()):
            assert _runner(options) == name
            cloud = options.view_as(GoogleCloudOptions)
            assert (cloud.project, cloud.region, cloud.temp_location) == ("p", "r", "gs://a b/c")

    @pytest.mark.parametrize("name", ["FlinkRunner", "flinkrunner", "Flink", "flink"])
    def test_accepts_all_of_beams_spellings(self, name: str) -> None:
        assert Engine.named(name, "") == Engine("FlinkRunner")

    def test_dataflow_refuses_a_local_folder(self) -> None:
        with pytest.raises(ValueError, match=r"data_root: Dataflow's .* expected gs://.* Received: data_root=/data"):
            Engine.named("DataflowRunner", "").check_data_root("/data")
        Engine.named("DataflowRunner", "").check_data_root("gs://bucket/data")
        Engine.named("FlinkRunner", "").check_data_root("/data")  # other clusters may share folders
        Engine.named("local", "").check_data_root("/data")

    def test_decodes_one_shard_at_a_time_per_process_by_default(self) -> None:
        default = Engine.named("DataflowRunner", "").decoding_options(10)
        chosen = Engine.named("DataflowRunner", "--number_of_worker_harness_threads=4").decoding_options(10)
        assert default.view_as(DebugOptions).number_of_worker_harness_threads == 1
        assert chosen.view_as(DebugOptions).number_of_worker_harness_threads == 4

    def test_accepts_every_runner_of_beam(self) -> None:
        assert list(BEAM_RUNNERS) == StandardOptions.KNOWN_RUNNER_NAMES

    @pytest.mark.parametrize("name", ["DatafloRunner", "dataflow runner", "os.path", ""])
    def test_unknown_runner_is_refused(self, name: str) -> None:
        with pytest.raises(
            ValueError, match=f"beam_runner: expected one of local, DataflowRunner, .* Received: beam_runner={name}"
        ):
            Engine.named(name, "")

    @pytest.mark.parametrize(
        ("beam_options", "named"),
        [
            ("--projct=p", "--projct=p"),
            ("--project=p --regoin r", "--regoin r"),
            ("--project=p stray", "stray"),
            ("project=p", "project=p"),
            ("-project=p", "-project=p"),
            ("--proj=p", "--proj=p"),
        ],
    )
    def test_misspelt_options_are_refused(self, beam_options: str, named: str) -> None:
        with pytest.raises(
            ValueError, match=f"beam_options: Beam does not know {named}: expected options such as --project=<name>"
        ):
            Engine.named("DataflowRunner", beam_options)

    @pytest.mark.parametrize("beam_options", ["--num_workers=many", "--flink_version=0.1", "--project"])
    def test_invalid_values_of_options_are_refused(self, beam_options: str) -> None:
        with pytest.raises(ValueError, match=f"beam_options: argument --.*Received: beam_options={beam_options}"):
            Engine.named("DataflowRunner", beam_options)

    def test_an_unclosed_quote_is_refused(self) -> None:
        with pytest.raises(ValueError, match="beam_options: No closing quotation"):
            Engine.named("DataflowRunner", "--project='p")
