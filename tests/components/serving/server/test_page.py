"""The page in a real browser, driven by Chromium's DevTools protocol."""

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from docs.screenshot import BROWSERS
from tests.components.serving.predict.conftest import CLASS_NAMES, FILTERS

_TIMEOUT_S = 60.0


class _Tab:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._last_id = 0
        self.errors: list[str] = []

    def call(self, method: str, **parameters: Any) -> Any:
        self._last_id += 1
        self._connection.send(json.dumps({"id": self._last_id, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv())
            entry = message.get("params", {}).get("entry", {})
            if message.get("method") == "Runtime.exceptionThrown" or entry.get("level") == "error":
                self.errors.append(json.dumps(message["params"]))
            if message.get("id") == self._last_id:
                return message["result"]

    def value(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)["result"].get(
            "value"
        )

    def wait_for(self, expression: str) -> None:
        end_s = time.monotonic() + _TIMEOUT_S
        while not self.value(expression):
            assert time.monotonic() < end_s, (expression, self.errors, self.value("document.body.innerText"))
            time.sleep(0.1)


@contextlib.contextmanager
def _open_tab(folder: Path) -> Iterator[_Tab]:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"needs one of {', '.join(BROWSERS)}")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={folder}", "--window-size=390,800"]
    with subprocess.Popen([browser, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            port_file, end_s = folder / "DevToolsActivePort", time.monotonic() + _TIMEOUT_S
            while not (port_file.exists() and port_file.read_text().count("\n")):
                assert time.monotonic() < end_s, "the browser does not start"
                time.sleep(0.1)
            port = port_file.read_text().split()[0]
            tabs = requests.get(f"http://127.0.0.1:{port}/json", timeout=_TIMEOUT_S).json()
            address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            with contextlib.closing(websocket.create_connection(address, timeout=_TIMEOUT_S)) as connection:
                yield _Tab(connection)
        finally:
            process.terminate()


def test_page_predicts_chosen_files(url: str, cells_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "bad_red.png").write_bytes(b"no image")
    files = [str(cells_dir / "train" / f"{sample_id}_{name}.png") for sample_id in ("s00", "s01") for name in FILTERS]
    with _open_tab(tmp_path / "profile") as tab:
        for domain in ("Runtime", "Log", "Page", "DOM"):
            tab.call(f"{domain}.enable")
        tab.call("Page.navigate", url=url)
        tab.wait_for("document.readyState === 'complete' && !!document.getElementById('files')")
        root = tab.call("DOM.getDocument")["root"]["nodeId"]
        node = tab.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
        tab.call("DOM.setFileInputFiles", nodeId=node, files=[*files, str(tmp_path / "bad_red.png")])
        tab.wait_for("document.getElementById('status').textContent === '3 samples answered by hpa, version 1'")
        assert tab.value("[...document.querySelectorAll('h2')].map((title) => title.textContent)") == ["bad", "s00", "s01"]
        assert "Cannot be used: the red filter is" in tab.value("document.querySelector('article .bad').textContent")
        shown = "[...document.querySelectorAll('article:last-child .row')].map((row) => row.firstChild.textContent)"
        assert sorted(name.removeprefix("✓ ") for name in tab.value(shown)) == sorted(CLASS_NAMES)
        pixel_sum = "document.querySelector('article:last-child canvas').getContext('2d').getImageData(0, 0, 32, 32).data"
        pixel_sum = f"{pixel_sum}.reduce((sum, level) => sum + level)"
        tab.wait_for("document.querySelector('article:last-child canvas').width === 32")
        before = tab.value(pixel_sum)
        tab.value("document.querySelector('article:last-child input').click()")  # red off
        tab.wait_for(f"{pixel_sum} < {before}")
        assert not tab.value("document.getElementById('csv').hidden")
        assert tab.value("document.documentElement.scrollWidth <= innerWidth")
        assert not tab.errors
