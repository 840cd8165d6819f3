"""The web application: its routes, its limits and its headers."""

import asyncio
import base64
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components import __version__
from components.artifacts.image_names import parse_filters
from components.images.image import BadImageError
from components.serving.server import inference_protocol
from components.serving.server.answers import SampleAnswer, to_csv, to_json
from components.serving.server.decoding import Decoders
from components.serving.server.examples import example_samples, has_examples
from components.serving.server.limits import Budget, Limits, RefusedError
from components.serving.server.metrics import Metrics
from components.serving.server.model_card import model_card
from components.serving.server.openapi import describe_api
from components.serving.server.runner import LoadedVersion, ModelRunner, Prediction
from components.serving.server.uploads import UploadedSample, group_samples, read_body, read_files

_PAGE = Path(__file__).with_name("page.html")
_RETRY_AFTER = {429: "1", 503: "1"}
_POLICY = "content-security-policy"
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Server:
    """Answers requests with a model."""

    def __init__(self, model_name: str, limits: Limits, runner: ModelRunner, metrics: Metrics) -> None:
        self._model_name, self._limits = model_name, limits
        self._runner, self._metrics = runner, metrics
        self._decoders = Decoders(limits.decode_timeout_s)
        self._bytes = Budget(limits.max_bytes_in_flight, "bytes")
        self._waiting = Budget(limits.max_waiting, "samples")
        self._page = _PAGE.read_text(encoding="utf-8")
        metrics.waiting.set_function(lambda: self._waiting.used)
        metrics.version.set_function(lambda: float(runner.current.name) if runner.current.name.isdigit() else float("nan"))

    def make_app(self, allowed_hosts: list[str]) -> Starlette:
        """The application.

        Args:
            allowed_hosts: The host names that requests may use: `*` for any.
        """
        endpoints: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "/", self._get_page),
            ("GET", "/page.json", self._json(self._page_settings)),
            ("GET", "/model-card", self._get_model_card),
            ("POST", "/predict", self._predict),
            ("GET", "/openapi.json", self._json(lambda: describe_api(self._model_name))),
            ("GET", "/metrics", self._get_metrics),
            ("GET", "/v2", self._json(lambda: {"name": "hpa-pipeline", "version": __version__, "extensions": []})),
            ("GET", "/v2/health/live", self._json(lambda: {"live": True})),
            ("GET", "/v2/health/ready", self._json(lambda: {"ready": True})),
        ]
        for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            endpoints += [
                ("GET", model, self._get_model),
                ("GET", f"{model}/ready", self._get_model_ready),
                ("POST", f"{model}/infer", self._infer),
            ]
        return Starlette(
            routes=[Route(path, self._measured(path, endpoint), methods=[method]) for method, path, endpoint in endpoints],
            middleware=[
                Middleware(_SecurityHeaders, policy=_content_policy(self._page)),
                Middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts, www_redirect=False),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        yield
        self._decoders.stop()
        self._runner.stop()

    def _measured(
        self, path: str, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            started_s = time.monotonic()
            try:
                response = await endpoint(request)
            except RefusedError as error:
                headers = {"Retry-After": _RETRY_AFTER[error.status]} if error.status in _RETRY_AFTER else None
                response = JSONResponse({"error": str(error)}, error.status, headers)
            except ClientDisconnect:
                response = Response(status_code=499)  # the client is gone
            self._metrics.requests.labels(path, response.status_code).inc()
            self._metrics.seconds.labels(path).observe(time.monotonic() - started_s)
            return response

        return answer

    @staticmethod
    def _json(content: Callable[[], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_request: Request) -> Response:
            return JSONResponse(content())

        return answer

    def _page_settings(self) -> dict[str, Any]:
        version, limits = self._runner.current, self._limits
        names = version.accepted_names[0]
        advice = f"Name files like {names.example()}"
        if len(version.accepted_names) > 1:
            advice += f", in any format, or give one file with channels named {', '.join(version.form.filters)}"
        return {
            "model": self._model_name,
            "version": version.name,
            "has_examples": has_examples(version),
            # The stains in file names; empty if a file holds all channels.
            "stains": [] if names.channels else [own.lower() for own in parse_filters(names.filters, names.stains).values()],
            "advice": f"{advice}. For other names, serve has --file-pattern and --filters.",
            "max_bytes": limits.max_upload_bytes,
            "max_samples": limits.max_waiting,
        }

    async def _get_page(self, _request: Request) -> Response:
        return HTMLResponse(self._page)

    async def _get_model_card(self, _request: Request) -> Response:
        policy = f"{_NOTHING}; style-src 'unsafe-inline'"  # table cells have inline styles; there is no script
        return HTMLResponse(model_card(self._model_name, self._runner.current), headers={_POLICY: policy})

    async def _get_model(self, request: Request) -> Response:
        return JSONResponse(inference_protocol.model_metadata(self._model_name, self._named_version(request)))

    async def _get_model_ready(self, request: Request) -> Response:
        self._named_version(request)
        return JSONResponse({"name": self._model_name, "ready": True})

    def _named_version(self, request: Request) -> LoadedVersion:
        """The current version, if the path names it."""
        version, named = self._runner.current, request.path_params
        if (named["name"], named.get("version", version.name)) != (self._model_name, version.name):
            raise RefusedError(404, f"Expected the model {self._model_name}, and its version {version.name} or none")
        return version

    async def _get_metrics(self, _request: Request) -> Response:
        return Response(self._metrics.to_text(), media_type="text/plain; version=0.0.4")

    async def _predict(self, request: Request) -> Response:
        limits, version = self._limits, self._runner.current
        with_pictures = request.query_params.get("pictures") == "true"
        with contextlib.ExitStack() as taken:
            ignored: list[str] = []
            if request.query_params.get("examples") == "true" and has_examples(version):
                samples = await asyncio.to_thread(example_samples, version.form.filters)
            else:
                taken.enter_context(self._counted_bytes(request))
                receive = read_files(request, limits.max_upload_bytes, limits.max_waiting)
                files = await _within(limits.timeout_s, receive, RefusedError(408, "The files took too long to arrive"))
                samples, ignored = group_samples(files, version.accepted_names, version.form.filters)
            taken.enter_context(self._counted_samples(len(samples)))
            answers = await self._answered([self._answer(version, sample, with_pictures) for sample in samples])
        num_good = sum(not answer.error for answer in answers)
        self._metrics.samples.labels("good").inc(num_good)
        self._metrics.samples.labels("bad").inc(len(answers) - num_good)
        content = await asyncio.to_thread(to_json, version, answers, ignored, with_pictures)
        if request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip() == "text/csv":
            return Response(to_csv(content), media_type="text/csv", headers={"X-Model-Version": version.name})
        return JSONResponse({"model": self._model_name, **content})

    async def _answer(self, version: LoadedVersion, sample: UploadedSample, with_maps: bool) -> SampleAnswer:
        if sample.problem:
            return SampleAnswer(sample.sample_id, error=sample.problem)
        reading = replace(version.form.reading, channels=tuple(sample.channels.items()))
        try:
            decoded = await self._decoders.decode(sample.files, replace(version.form, reading=reading))
        except BadImageError as error:
            return SampleAnswer(sample.sample_id, error=str(error))
        return SampleAnswer(sample.sample_id, decoded, await self._run(version, decoded.pixels, with_maps))

    async def _run(self, version: LoadedVersion, pixels: np.ndarray, with_maps: bool = False) -> Prediction:
        return await asyncio.wrap_future(self._runner.submit(version, pixels, with_maps))

    async def _infer(self, request: Request) -> Response:
        limits, version = self._limits, self._named_version(request)
        max_bytes = min(limits.max_upload_bytes, inference_protocol.max_request_bytes(version, limits.max_waiting))
        with self._counted_bytes(request):
            receive = read_body(request, max_bytes)
            body = await _within(limits.timeout_s, receive, RefusedError(408, "The request took too long to arrive"))
            request_id, pixels = await asyncio.to_thread(inference_protocol.parse_request, body, version)
            with self._counted_samples(len(pixels)):
                predictions = await self._answered([self._run(version, image) for image in pixels])
        return JSONResponse(inference_protocol.to_response(self._model_name, version, request_id, predictions))

    async def _answered(self, answers: list[Any]) -> list[Any]:
        slow = RefusedError(503, f"No answer within {self._limits.timeout_s:g} s. Try again later, or with fewer samples")
        return await _within(self._limits.timeout_s, asyncio.gather(*answers), slow)

    @contextlib.contextmanager
    def _counted_bytes(self, request: Request) -> Any:
        given = request.headers.get("content-length", "")
        num_bytes = int(given) if given.isdigit() else self._limits.max_upload_bytes
        if num_bytes > self._limits.max_upload_bytes:
            raise RefusedError(413, f"Expected at most {self._limits.max_upload_bytes} bytes in one request")
        with _taken(self._bytes, num_bytes):
            yield

    @contextlib.contextmanager
    def _counted_samples(self, num_samples: int) -> Any:
        if num_samples > self._limits.max_waiting:
            raise RefusedError(413, f"Expected at most {self._limits.max_waiting} samples in one request")
        with _taken(self._waiting, num_samples):
            yield


@contextlib.contextmanager
def _taken(budget: Budget, amount: int) -> Any:
    budget.take(amount)
    try:
        yield
    finally:
        budget.give_back(amount)


async def _within(timeout_s: float, work: Awaitable[Any], slow: RefusedError) -> Any:
    try:
        return await asyncio.wait_for(work, timeout_s)
    except TimeoutError:
        raise slow from None


def _content_policy(page: str) -> str:
    """Allows only the page's own script and style, by their hashes."""
    hashes = {}
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        hashes[tag] = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return (
        f"{_NOTHING}; script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'; "
        "img-src data: blob:; connect-src 'self'"
    )


class _SecurityHeaders:
    """Adds headers that keep a browser from loading or running anything else."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = {
            _POLICY: policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
