"""Checks that the registry has the images."""

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.submission import Submission

_TIMEOUT_S = 15.0
_DOCKER_HUB, _DOCKER_HUB_API = "docker.io", "registry-1.docker.io"
# The media types of a tag, an image or an index of images for several platforms, in Docker's and OCI's names.
_MANIFEST_TYPES = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


@dataclass(frozen=True)
class Image:
    """The parts of an image's name, split as in Docker.

    Attributes:
        registry: The host; empty if the name has none.
        repository: The path on the host.
        reference: The digest, or else the tag.
    """

    registry: str
    repository: str
    reference: str


def parse_image(name: str) -> Image:
    """Splits an image's name, such as `registry.example.com/hpa/train:0.1.0@sha256:...`."""
    rest, _, digest = name.partition("@")
    host, slash, path = rest.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = "", rest
    folder, slash, last = path.rpartition("/")
    last, _, tag = last.partition(":")
    return Image(host, folder + slash + last, digest or tag or "latest")


def check_images(submission: Submission) -> str:
    """Asks the registry for each image, with the credentials of this machine's Docker, if there are any."""
    names = sorted({step.image for step in submission.steps})
    if local := [name for name in names if not parse_image(name).registry]:
        raise FailedError(
            f"{', '.join(local)}: no registry is named, so these are only on the machine that built them. "
            "`make push-images REGISTRY=<host>/<path> > digests.txt`, then --registry <host>/<path> --digests digests.txt "
            "here and when you submit"
        )
    with ThreadPoolExecutor(len(names)) as pool:
        answers = dict(zip(names, pool.map(_ask, names), strict=True))
    if missing := [name for name, answer in answers.items() if answer == 404]:
        raise FailedError(
            f"{', '.join(missing)}: the registry has no such image. `make push-images REGISTRY=...`, or give the right --tag"
        )
    if refused := [name for name, answer in answers.items() if answer in (401, 403)]:
        hosts = sorted({parse_image(name).registry for name in refused})
        raise NotCheckedError(
            f"{', '.join(hosts)} does not show its images to this machine's Docker credentials: `docker login {hosts[0]}`. "
            "The cluster needs its own credentials"
        )
    if odd := sorted(
        {f"status {answer}" if isinstance(answer, int) else answer for answer in answers.values()} - {"status 200"}
    ):
        raise NotCheckedError(f"unexpected answer from the registry: {'; '.join(odd)}")
    return f"all {len(names)} are in the registry"


def _ask(name: str) -> int | str:
    """The status of the registry's answer about an image, or why there is none."""
    import docker.errors  # noqa: PLC0415 (--help should not wait for these)
    import requests  # noqa: PLC0415

    image = parse_image(name)
    host = _DOCKER_HUB_API if image.registry == _DOCKER_HUB else image.registry
    # As in Docker, unencrypted only on this machine.
    scheme = "http" if host.partition(":")[0] in ("localhost", "127.0.0.1") else "https"
    url = f"{scheme}://{host}/v2/{image.repository}/manifests/{image.reference}"
    try:
        with requests.Session() as session:
            session.headers["Accept"] = _MANIFEST_TYPES
            response = session.head(url, timeout=_TIMEOUT_S, allow_redirects=True)
            if response.status_code == 401:
                session.auth = _authorize(image, response.headers.get("WWW-Authenticate", ""))
                response = session.head(url, timeout=_TIMEOUT_S, allow_redirects=True)
            return int(response.status_code)
    except requests.RequestException as error:
        return f"no answer from {host} ({type(error).__name__})"
    except docker.errors.DockerException:
        return f"this machine's Docker has no credentials for {host}, because its credential helper does not work"


def _authorize(image: Image, challenge: str) -> Any:
    """The authentication for a registry's challenge: this machine's credentials, or none for public images."""
    import docker.auth  # noqa: PLC0415
    import requests  # noqa: PLC0415

    # Names are in lower case in the file, and capitalised from a helper.
    found = docker.auth.load_config().resolve_authconfig(image.registry) or {}
    known = {key.lower(): value for key, value in found.items() if value}
    basic = (known["username"], known["password"]) if "username" in known else None
    scheme, _, rest = challenge.partition(" ")
    asked = urllib.request.parse_keqv_list(urllib.request.parse_http_list(rest))
    if scheme.lower() != "bearer" or "realm" not in asked:
        return basic
    query = {"service": asked.get("service", ""), "scope": asked.get("scope", f"repository:{image.repository}:pull")}
    if token := known.get("identitytoken"):
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "hpa-pipeline"} | query
        response = requests.post(asked["realm"], data=form, timeout=_TIMEOUT_S)
    else:
        response = requests.get(asked["realm"], params=query, auth=basic, timeout=_TIMEOUT_S)
    if response.status_code != 200:
        return basic
    answer = response.json()
    return _Bearer(answer.get("token") or answer.get("access_token", ""))


class _Bearer:
    """Signs requests with a registry's token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
