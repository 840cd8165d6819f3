"""Drives Chromium over the DevTools protocol."""

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from docs.screenshot import BROWSERS

_TIMEOUT_S = 60.0


class Tab:
    """A browser tab that records errors and requested URLs.

    Attributes:
        errors: Uncaught exceptions of scripts, and what the browser logs as errors.
        urls: The URLs requested.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._last_id = 0
        self.errors: list[str] = []
        self.urls: list[str] = []
        for domain in ("Runtime", "Log", "Page", "DOM", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Calls a method of the protocol."""
        self._last_id += 1
        self._connection.send(json.dumps({"id": self._last_id, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv())
            event = message.get("params", {})
            if message.get("method") == "Runtime.exceptionThrown" or event.get("entry", {}).get("level") == "error":
                self.errors.append(json.dumps(event))
            if message.get("method") == "Network.requestWillBeSent":
                self.urls.append(event["request"]["url"])
            if message.get("id") == self._last_id:
                assert "error" not in message, message
                return message["result"]

    def open(self, url: str, width_px: int = 1400, theme: str = "light") -> None:
        """Opens a page and clears both records."""
        self.call("Emulation.setDeviceMetricsOverride", width=width_px, height=900, deviceScaleFactor=1, mobile=width_px < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.call("Page.navigate", url="about:blank")
        self.wait_for("document.readyState === 'complete' && location.href === 'about:blank'")
        self.errors, self.urls = [], []
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return found["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Waits until an expression is true."""
        end_s = time.monotonic() + _TIMEOUT_S
        while not self.value(expression):
            assert time.monotonic() < end_s, (expression, self.errors, self.value("document.body.innerText"))
            time.sleep(0.05)

    def choose(self, selector: str, files: Sequence[Path]) -> None:
        """Selects files in an input element."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def drop(self, selector: str, files: Sequence[Path]) -> None:
        """Drags files or folders over an element, and drops them there."""
        x, y = self.value(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({_box(selector)})")
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)


def _box(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"


@contextlib.contextmanager
def open_tab() -> Iterator[Tab]:
    """Starts a browser. Skips the test if there is none."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"needs one of {', '.join(BROWSERS)}")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options += ["--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={folder}"]
        with subprocess.Popen(
            [browser, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                address = _tab_address(Path(folder, "DevToolsActivePort"))
                with contextlib.closing(websocket.create_connection(address, timeout=_TIMEOUT_S)) as connection:
                    yield Tab(connection)
            finally:
                process.terminate()


def _tab_address(port_file: Path) -> str:
    end_s = time.monotonic() + _TIMEOUT_S
    while not (port_file.exists() and port_file.read_text().count("\n")):
        assert time.monotonic() < end_s, "the browser does not start"
        time.sleep(0.1)
    tabs = requests.get(f"http://127.0.0.1:{port_file.read_text().split()[0]}/json", timeout=_TIMEOUT_S).json()
    return str(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))
