"""Takes the picture of the newest evaluation report: `python docs/screenshot.py outputs docs/evaluation.png`, with Chromium."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
MAX_BYTES = 400_000


def newest_report(outputs: Path) -> Path:
    """The evaluation report of the newest run that has one."""
    reports = sorted(outputs.glob("runs/*/evaluation_report.html"))
    if not reports:
        sys.exit(f"Expected a finished run. There is no runs/*/evaluation_report.html in {outputs}: run `make run` first.")
    return reports[-1]


def take(page: Path, out: Path, width_px: int, height_px: int) -> None:
    """Takes the top of a page, in few colours, which is a third of the size."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"Expected one of {', '.join(BROWSERS)} on the PATH, to take pictures of pages with.")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "shot.png")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        options += [
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={folder}",
        ]
        size = f"--window-size={width_px},{height_px}"
        command = [browser, *options, size, f"--screenshot={shot}", page.resolve().as_uri()]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with Image.open(shot) as image:
            image.convert("RGB").quantize(128).save(out, optimize=True)
    if out.stat().st_size > MAX_BYTES:
        sys.exit(
            f"{out}: expected at most {MAX_BYTES} bytes. Received: {out.stat().st_size}. Take less of the page: --height-px"
        )


def main() -> None:
    """Takes the picture that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outputs", type=Path, help="the pipeline root of a run")
    parser.add_argument("out", type=Path, help="the PNG file to write")
    parser.add_argument("--width-px", type=int, default=1100)
    parser.add_argument("--height-px", type=int, default=1000)
    options = parser.parse_args()
    report = newest_report(options.outputs)
    take(report, options.out, options.width_px, options.height_px)
    print(f"{options.out}: the top of {report}")


if __name__ == "__main__":
    main()
