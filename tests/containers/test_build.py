"""Rebuilding images and pushing them."""

import hashlib
import http.server
import json
import re
import shutil
import subprocess
import threading
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from pipeline.compiled import PIPELINE_YAML, ROOT
from pipeline.container_images import read_digests, with_images
from tests.containers.engine import TAG, image

pytestmark = pytest.mark.containers


def test_a_code_change_rebuilds_only_the_last_layer(images: docker.DockerClient, tmp_path: Path) -> None:
    for name in ("components", "containers", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in (".dockerignore", "LICENSE", "Makefile", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "pipeline.yaml").write_text(with_images(PIPELINE_YAML.read_text(encoding="utf-8"), tag="changed"))
    with (tmp_path / "components" / "push" / "step.py").open("a") as file:
        file.write("# changed\n")
    subprocess.run(["make", "images", "CPU=1", "STEPS=push"], cwd=tmp_path, capture_output=True, text=True, check=True)
    changed = image("push").replace(TAG, "changed-cpu")
    before, after = (images.images.get(name).attrs["RootFS"]["Layers"] for name in (image("push"), changed))
    images.images.remove(changed)
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


class _Registry(http.server.BaseHTTPRequestHandler):
    """A minimal container registry that accepts pushes and serves small images."""

    protocol_version = "HTTP/1.1"
    num_bytes: dict[str, int]  # sizes of uploads and blobs by path
    manifests: dict[str, str]  # digests by name and tag
    contents: dict[str, tuple[bytes, str]]  # small contents and their types by path

    def do_GET(self) -> None:
        self._give(with_content=True)

    def do_HEAD(self) -> None:
        self._give(with_content=False)

    def _give(self, with_content: bool) -> None:
        if self.path == "/v2/":
            self._answer(200)
        elif self.path in self.contents:
            content, kind = self.contents[self.path]
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            headers = {"Content-Length": str(len(content)), "Content-Type": kind, "Docker-Content-Digest": digest}
            self._answer(200, **headers)
            if with_content:
                self.wfile.write(content)
        elif self.path in self.num_bytes and not with_content:
            self._answer(200, **{"Content-Length": str(self.num_bytes[self.path])})
        else:
            self._answer(404)

    def do_POST(self) -> None:
        self._answer(202, Location=f"{self.path}{uuid.uuid4()}")

    def do_PATCH(self) -> None:
        body = self._body()
        self.num_bytes[self.path] = len(body)
        if len(body) < 100_000:
            self.contents[self.path] = body, "application/octet-stream"
        self._answer(202, Location=self.path, Range=f"0-{self.num_bytes[self.path] - 1}")

    def do_PUT(self) -> None:
        body = self._body()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        upload, _, query = self.path.partition("?")
        if manifest := re.fullmatch(r"/v2/(.*)/manifests/(.*)", upload):
            self.manifests[f"{manifest[1]}:{manifest[2]}"] = digest
            for reference in (manifest[2], digest):
                self.contents[f"/v2/{manifest[1]}/manifests/{reference}"] = body, self.headers["Content-Type"]
        else:
            (digest,) = urllib.parse.parse_qs(query)["digest"]
            blob = upload.rpartition("/uploads/")[0] + f"/{digest}"
            self.num_bytes[blob] = self.num_bytes[upload]
            if upload in self.contents:
                self.contents[blob] = self.contents.pop(upload)
        self._answer(201, **{"Docker-Content-Digest": digest})

    def log_message(self, *_args: object) -> None:
        """Logs nothing."""

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while num_bytes := int(self.rfile.readline(), 16):
            body += self.rfile.read(num_bytes)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def registry() -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a registry, and the digests of the manifests that it receives."""
    handler = type("Handler", (_Registry,), {"num_bytes": {}, "manifests": {}, "contents": {}})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"localhost:{server.server_port}", handler.manifests
        server.shutdown()


def test_pushing_prints_digests_that_a_pipeline_can_pin(
    images: docker.DockerClient, registry: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    address, manifests = registry
    command = ["make", "--silent", "push-images", "CPU=1", "STEPS=push", f"REGISTRY={address}/lab/hpa"]
    pushed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert pushed.returncode == 0, pushed.stderr
    name = f"{address}/lab/hpa/push:{TAG}"
    images.images.remove(name)
    assert pushed.stdout == f"{name}@{manifests[f'lab/hpa/push:{TAG}']}\n"
    path = tmp_path / "digests.txt"
    path.write_text(pushed.stdout)
    line = f"        image: hpa-pipeline/push:{TAG}"
    pinned = with_images(line, registry=f"{address}/lab/hpa", digests=read_digests(path))
    assert pinned == f"        image: {pushed.stdout.strip()}"


def test_pushing_needs_a_registry() -> None:
    pushed = subprocess.run(["make", "push-images", "STEPS=push"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert pushed.returncode != 0
    assert "Expected make push-images REGISTRY=<host>/<path>" in pushed.stderr


class TestBase:
    """The base image, with and without a registry that has it."""

    @pytest.fixture
    def tag(self, client: docker.DockerClient, registry: tuple[str, dict[str, str]], tmp_path: Path) -> Iterator[str]:
        """The tag of a small image that the registry has."""
        (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
        tag = f"{registry[0]}/base:1"
        client.images.build(path=str(tmp_path), tag=tag)
        client.images.push(tag)
        client.images.remove(tag)
        yield tag
        for found in client.images.list(registry[0] + "/base"):
            client.images.remove(found.id, force=True)

    def _base(self, folder: Path, tag: str, digest: str, *options: str) -> tuple[str, str]:
        """The standard output and standard error of the script."""
        script = shutil.copy(ROOT / "containers" / "base.sh", folder)
        (folder / "release.json").write_text(json.dumps({"base": tag, "digest": digest}, indent=2))
        done = subprocess.run([script, *options], capture_output=True, text=True, check=True)
        return done.stdout.strip(), done.stderr.strip()

    def test_is_pinned_if_the_registry_has_the_digest(
        self, tag: str, registry: tuple[str, dict[str, str]], tmp_path: Path
    ) -> None:
        digest = registry[1]["base:1"]
        for _ in ("pulled", "there already"):
            assert self._base(tmp_path, tag, digest) == (f"{tag}@{digest}", "")

    def test_is_the_tag_with_one_line_of_warning_if_no_registry_has_it(self, tag: str, tmp_path: Path) -> None:
        digest = f"sha256:{'0' * 64}"
        expected = f"No registry has {tag}@{digest}: building from this machine's {tag}."
        assert self._base(tmp_path, tag, digest) == (tag, expected)

    def test_is_renewed_to_the_current_digest_of_the_tag(
        self, tag: str, registry: tuple[str, dict[str, str]], tmp_path: Path
    ) -> None:
        digest = registry[1]["base:1"]
        printed, _ = self._base(tmp_path, tag, f"sha256:{'0' * 64}", "--renew")
        assert printed == f"{tag}@{digest}"
        assert json.loads((tmp_path / "release.json").read_text()) == {"base": tag, "digest": digest}
