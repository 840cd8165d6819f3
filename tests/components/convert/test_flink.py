"""Conversion on Flink, compared with the local engine.

Flink runs inside Beam's job server, a Java process. Beam downloads its jar and keeps it in `~/.apache_beam`. If the download
fails, Maven fetches the jar's libraries instead.
"""

import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.flink_runner import FlinkJarJobServer

from components import storage
from components.artifacts.labels import CLASS_NAMES
from components.artifacts.manifest import Examples, RawImages
from components.convert.examples import convert_images
from components.convert.settings import ConvertSettings
from components.convert.shards import resplit
from components.convert.shards import tasks as tasks_module
from components.ingest.raw import ingest_images
from components.ingest.sources.folder import Folder

pytestmark = [
    pytest.mark.flink,
    pytest.mark.xdist_group("flink"),
    # On a busy machine, Beam's workers may still read while Flink closes the connection.
    pytest.mark.filterwarnings("ignore:Exception in thread read_grpc_client_inputs"),
]

MakeFolder = Callable[..., Path]

_POM = Path(__file__).parent / "flink_job_server" / "pom.xml"
_MAIN_CLASS = "org.apache.beam.runners.flink.FlinkJobServerDriver"
# The modules that Flink's own configuration opens on Java 17 (env.java.opts.all).
_OPENED = ("lang", "lang.reflect", "io", "net", "nio", "text", "time", "util", "util.concurrent", "util.concurrent.atomic")


@pytest.fixture(scope="module")
def job_server_jar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if shutil.which("java") is None:
        pytest.skip("needs Java: on Debian, apt install openjdk-17-jre-headless")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("JAVA_TOOL_OPTIONS", " ".join(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED))
        yield _published_jar() or _put_together(tmp_path_factory.mktemp("flink"))


def _published_jar() -> Path | None:
    server = FlinkJarJobServer(PipelineOptions(["--runner=FlinkRunner"]))
    try:
        return Path(server.local_jar(server.path_to_jar()))
    except RuntimeError:  # Beam could not download it
        return None


def _put_together(folder: Path) -> Path:
    """Makes a jar that only refers to the libraries as stored by Maven."""
    if shutil.which("mvn") is None:
        pytest.skip("Beam's job server for Flink cannot be downloaded, and there is no Maven to put it together")
    goal = ["dependency:build-classpath", "-Dmdep.includeScope=runtime", f"-Dmdep.outputFile={folder}/classpath"]
    maven = subprocess.run(["mvn", "-B", "-q", "-f", _POM, *goal], capture_output=True, text=True, check=False)
    if maven.returncode:
        pytest.skip(f"Beam's job server for Flink cannot be had: {maven.stdout.strip().splitlines()[:1]}")
    libraries = [Path(path).as_uri() for path in (folder / "classpath").read_text().split(":")]
    manifest = ["Manifest-Version: 1.0", f"Main-Class: {_MAIN_CLASS}", "Class-Path: " + " ".join(libraries)]
    jar = folder / "job-server.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "".join(_folded(line) for line in manifest) + "\r\n")
    return jar


def _folded(line: str) -> str:
    """Folds a line of a manifest after 72 characters; continuation lines begin with a space."""
    rest = [f" {line[start : start + 71]}" for start in range(72, len(line), 71)]
    return "\r\n".join([line[:72], *rest]) + "\r\n"


@pytest.fixture
def raw(tmp_path: Path, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> RawImages:
    """Sixty samples for ten shards, with one bad sample."""
    for module in (tasks_module, resplit):
        monkeypatch.setattr(module, "MAX_SHARD_SAMPLES", 6)
    cells = make_folder(tmp_path / "cells", {f"s{k:02d}": str(k % 3) for k in range(60)})
    (cells / "train" / "s07_blue.png").unlink()
    return ingest_images(Folder(str(cells), CLASS_NAMES), "dir:cells", str(tmp_path / "data"), list(CLASS_NAMES))


def _files(examples: Examples) -> dict[str, bytes]:
    names = [shard.name for found in examples.shards.values() for shard in found]
    return {name: storage.read_bytes(storage.join(examples.uri, name)) for name in names}


@pytest.mark.parametrize("split", ["grouped", pytest.param("random", marks=pytest.mark.long)])
def test_flink_writes_the_same_records_as_the_local_engine(
    tmp_path: Path, raw: RawImages, job_server_jar: Path, split: str
) -> None:
    """A conversion on a Flink cluster writes the bytes that one on this machine writes."""
    settings = ConvertSettings(75, "rgb", split, 0.2, 0.2, 0)
    flags = f"--flink_job_server_jar={job_server_jar} --environment_type=LOOPBACK --parallelism=2"
    local = convert_images(raw, str(tmp_path / "local"), settings, 0.1, "local", "")
    flink = convert_images(raw, str(tmp_path / "flink"), settings, 0.1, "FlinkRunner", flags)
    assert flink.fingerprint == local.fingerprint
    assert flink.shards == local.shards
    assert _files(flink) == _files(local)
    assert len(_files(flink)) >= 10
    assert flink.num_quarantined == 1
