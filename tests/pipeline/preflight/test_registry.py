"""The check of the images, against a registry that speaks its HTTP API."""

import base64
import json
import re
import stat
from pathlib import Path

import pytest

from pipeline.compiled import load_steps
from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.registry import Image, check_images, parse_image
from tests.pipeline.conftest import MakeSubmission
from tests.pipeline.preflight.loopback import Answer, Loopback, Request

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Docker configuration file without credentials."""
    path = tmp_path / "docker" / "config.json"
    path.parent.mkdir()
    path.write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(path.parent))
    return path


def _registry(server: Loopback) -> str:
    return f"{server.netloc}/hpa"


def _push(server: Loopback) -> None:
    server.answers |= {f"/v2/hpa/{step}/manifests/1": Answer() for step in load_steps()}


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("hpa-pipeline/train:0.1.0", Image("", "hpa-pipeline/train", "0.1.0")),
        ("python", Image("", "python", "latest")),
        ("docker.io/me/train", Image("docker.io", "me/train", "latest")),
        ("localhost:5000/train:1", Image("localhost:5000", "train", "1")),
        (f"europe-docker.pkg.dev/p/hpa/train:1@{DIGEST}", Image("europe-docker.pkg.dev", "p/hpa/train", DIGEST)),
    ],
)
def test_names_are_split_as_in_docker(name: str, image: Image) -> None:
    assert parse_image(name) == image


def test_existing_images_are_counted(make_submission: MakeSubmission, loopback: Loopback) -> None:
    _push(loopback)
    said = check_images(make_submission(registry=_registry(loopback)))
    assert re.fullmatch(r"all \d are in the registry", said)
    assert {request.path for request in loopback.requests} == set(loopback.answers)
    assert all("application/vnd.oci.image.index.v1+json" in request.accept for request in loopback.requests)


def test_images_without_a_registry_are_reported_with_advice(make_submission: MakeSubmission) -> None:
    with pytest.raises(FailedError, match=r"hpa-pipeline/train:1.*on the machine that built them.*make push-images REGISTRY="):
        check_images(make_submission())


def test_a_missing_image_is_named(make_submission: MakeSubmission, loopback: Loopback) -> None:
    _push(loopback)
    del loopback.answers["/v2/hpa/train/manifests/1"]
    with pytest.raises(FailedError, match=f"^{_registry(loopback)}/train:1: the registry has no such image"):
        check_images(make_submission(registry=_registry(loopback)))


def _ask_for_token(server: Loopback, scheme: str, authorization: str) -> None:
    """Makes each image visible only with this authorization."""
    challenge = f'Bearer realm="{server.url}/token",service="cells"' if scheme == "Bearer" else 'Basic realm="cells"'

    def manifest(request: Request) -> Answer:
        return Answer() if request.authorization == authorization else Answer(401, headers={"WWW-Authenticate": challenge})

    server.answers |= {f"/v2/hpa/{step}/manifests/1": manifest for step in load_steps()}


def test_a_public_image_is_found_without_credentials(make_submission: MakeSubmission, loopback: Loopback) -> None:
    _ask_for_token(loopback, "Bearer", "Bearer public")
    loopback.answers["/token"] = Answer(body={"token": "public"})
    assert "are in the registry" in check_images(make_submission(registry=_registry(loopback)))
    asked = next(request for request in loopback.requests if request.path == "/token")
    assert asked.authorization == ""
    assert re.fullmatch(r"service=cells&scope=repository%3Ahpa%2F\w+%3Apull", asked.query)


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_a_private_image_is_found_with_dockers_credentials(
    make_submission: MakeSubmission, loopback: Loopback, docker_config: Path, scheme: str
) -> None:
    basic = base64.b64encode(b"me:sesame").decode()
    docker_config.write_text(json.dumps({"auths": {loopback.netloc: {"auth": basic}}}))
    _ask_for_token(loopback, scheme, "Bearer mine" if scheme == "Bearer" else f"Basic {basic}")
    loopback.answers["/token"] = lambda request: (
        Answer(body={"access_token": "mine"}) if request.authorization == f"Basic {basic}" else Answer(401)
    )
    assert "are in the registry" in check_images(make_submission(registry=_registry(loopback)))


def test_dockers_credential_helper_is_used(
    make_submission: MakeSubmission, loopback: Loopback, docker_config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    helper = tmp_path / "docker-credential-cells"
    helper.write_text('#!/bin/sh\necho \'{"Username": "<token>", "Secret": "refresh"}\'\n')
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    docker_config.write_text(json.dumps({"credHelpers": {loopback.netloc: "cells"}}))
    _ask_for_token(loopback, "Bearer", "Bearer refreshed")
    loopback.answers["/token"] = Answer(body={"access_token": "refreshed"})
    assert "are in the registry" in check_images(make_submission(registry=_registry(loopback)))


@pytest.mark.filterwarnings("ignore:docker-credential-none-of-this-name not installed:UserWarning")
def test_a_broken_helper_is_reported(make_submission: MakeSubmission, loopback: Loopback, docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"credHelpers": {loopback.netloc: "none-of-this-name"}}))
    _ask_for_token(loopback, "Bearer", "Bearer mine")
    with pytest.raises(NotCheckedError, match="its credential helper does not work"):
        check_images(make_submission(registry=_registry(loopback)))


def test_forbidden_images_are_reported_with_the_sign_in_command(make_submission: MakeSubmission, loopback: Loopback) -> None:
    _ask_for_token(loopback, "Bearer", "Bearer of somebody else")
    loopback.answers["/token"] = Answer(401)
    with pytest.raises(NotCheckedError, match=rf"`docker login {loopback.netloc}`. The cluster needs its own credentials"):
        check_images(make_submission(registry=_registry(loopback)))


def test_a_failing_registry_is_reported(make_submission: MakeSubmission, loopback: Loopback) -> None:
    loopback.answers = {f"/v2/hpa/{step}/manifests/1": Answer(503) for step in load_steps()}
    with pytest.raises(NotCheckedError, match="unexpected answer from the registry: status 503"):
        check_images(make_submission(registry=_registry(loopback)))
    loopback.server_close()
    with pytest.raises(
        NotCheckedError, match=rf"unexpected answer from the registry: no answer from {loopback.netloc} \(ConnectionError\)$"
    ):
        check_images(make_submission(registry=_registry(loopback)))
