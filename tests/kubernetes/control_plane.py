"""A Kubernetes control plane on loopback: etcd and kube-apiserver from KUBEBUILDER_ASSETS, as in envtest.

No node runs anything: objects are stored, validated and authorised as on a cluster, and pods stay pending.
"""

import contextlib
import os
import secrets
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ADMIN, READER = "admin", "preflight-reader"
_START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class ControlPlane:
    """A running API server, which authenticates users by their tokens."""

    url: str
    kubectl: Path
    folder: Path
    tokens: dict[str, str]

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of a user."""
        path = self.folder / f"{user}.kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test-cluster", "user": user}}],
            "clusters": [
                {
                    "name": "test-cluster",
                    "cluster": {"server": self.url, "certificate-authority": str(_certificate(self.folder))},
                }
            ],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
        }
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Runs kubectl as the administrator, and returns its output."""
        done = subprocess.run(
            [self.kubectl, "--kubeconfig", self.kubeconfig(ADMIN), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, *manifests: dict[str, Any], subresource: str = "") -> None:
        """Applies manifests on the server, which refuses unknown fields."""
        options = [f"--subresource={subresource}"] if subresource else []
        self.run(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--validate=strict",
            *options,
            "--filename=-",
            stdin=yaml.safe_dump_all(manifests),
        )


def find_assets() -> Path | None:
    """The folder with the programs, if KUBEBUILDER_ASSETS is set."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(named) if named else None


@contextlib.contextmanager
def control_plane(assets: Path, folder: Path) -> Iterator[ControlPlane]:
    """Runs a control plane, whose state is in `folder`, within the context."""
    tokens = {user: secrets.token_hex(8) for user in (ADMIN, READER)}
    groups = {ADMIN: "system:masters", READER: ""}
    key, users = folder / "service-account.key", folder / "tokens.csv"
    key.write_bytes(
        rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    users.write_text("".join(f"{token},{user},{user},{groups[user]}\n" for user, token in tokens.items()), encoding="utf-8")
    etcd_port, peer_port, port = _free_ports(3)
    etcd, peer, url = f"http://127.0.0.1:{etcd_port}", f"http://127.0.0.1:{peer_port}", f"https://127.0.0.1:{port}"
    etcd_command = [
        assets / "etcd",
        *("--data-dir", folder / "etcd", "--listen-client-urls", etcd, "--advertise-client-urls", etcd),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
    ]
    server_command = [
        assets / "kube-apiserver",
        *("--etcd-servers", etcd, "--secure-port", str(port), "--bind-address", "127.0.0.1"),
        *("--advertise-address", "127.0.0.1", "--endpoint-reconciler-type", "none", "--cert-dir", _certificate(folder).parent),
        *("--service-account-key-file", key, "--service-account-signing-key-file", key),
        *("--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.96.0.0/16"),
        *("--authorization-mode", "RBAC", "--token-auth-file", users),
        # No controller creates service accounts for pods here, and etcd 3.4 does not support watch lists.
        *("--disable-admission-plugins", "ServiceAccount", "--feature-gates", "WatchList=false,MutatingAdmissionPolicy=true"),
        *("--runtime-config", "admissionregistration.k8s.io/v1beta1=true"),
    ]
    with _running(etcd_command, folder / "etcd.log"), _running(server_command, folder / "server.log") as server:
        _await_ready(f"{url}/readyz", tokens[ADMIN], server, folder)
        yield ControlPlane(url, assets / "kubectl", folder, tokens)


@contextlib.contextmanager
def _running(command: list[Any], log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [server.getsockname()[1] for server in servers]


def _certificate(folder: Path) -> Path:
    """The self-signed certificate that the API server writes when it starts."""
    return folder / "certificates" / "apiserver.crt"


def _await_ready(url: str, token: str, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            context = ssl.create_default_context(cafile=str(_certificate(folder)))
            urllib.request.urlopen(request, timeout=5, context=context).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"the API server did not start: {(folder / 'server.log').read_text(errors='replace')[-2000:]}")
