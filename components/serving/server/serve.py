"""Starts the web server."""

import logging
import socket

import uvicorn

from components.serving.server.app import Server
from components.serving.server.limits import Limits
from components.serving.server.metrics import Metrics
from components.serving.server.runner import ModelRunner, ReadingOptions

_log = logging.getLogger(__name__)

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_MAX_CONNECTIONS = 512


def make_server(
    model_uri: str, options: ReadingOptions, limits: Limits, host: str, port: int, precision: str = ""
) -> uvicorn.Server:
    """Loads a model and makes a server for it.

    Args:
        model_uri: A version, or the folder above the versions to follow the champion.
        options: How uploaded files are read.
        limits: What the server accepts.
        host: The address to listen on. On a loopback address, only requests to its own host names are answered.
        port: The port; 0 for any free one.
        precision: What to compute in, `float32` or `bfloat16`; empty: what the model was judged in.

    Raises:
        FileNotFoundError: If there is no model.
        OSError: If it cannot be loaded.
    """
    metrics = Metrics()
    runner = ModelRunner(model_uri, options, metrics.count_batch, precision=precision)
    parts = model_uri.rstrip("/").split("/")
    name = parts[-2] if parts[-1] == runner.current.name and len(parts) > 1 else parts[-1]
    hosts = ["127.0.0.1", "localhost", "[::1]"] if host in _LOOPBACK else ["*"]
    config = uvicorn.Config(
        Server(name, limits, runner, metrics).make_app(hosts),
        host,
        port,
        log_level="warning",
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=round(limits.timeout_s),
    )
    return uvicorn.Server(config)


def open_listener(host: str, port: int) -> socket.socket:
    """Listens on an address, with Nagle's algorithm switched off.

    Otherwise the kernel delays small packets until the one before is acknowledged, which takes 40 ms. asyncio switches it off
    only for sockets that it opens.

    Raises:
        OSError: If the port is in use.
    """
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve(model_uri: str, options: ReadingOptions, limits: Limits, host: str, port: int, precision: str = "") -> None:
    """Serves until a signal stops the process, and answers all requests received before. Arguments as in `make_server`.

    Raises:
        OSError: If there is no model, or the port is in use.
    """
    with open_listener(host, port) as listener:
        server = make_server(model_uri, options, limits, host, port, precision)
        shown = f"[{host}]" if ":" in host else host
        _log.info("open http://%s:%d (Ctrl-C stops the server)", shown, listener.getsockname()[1])
        server.run([listener])
