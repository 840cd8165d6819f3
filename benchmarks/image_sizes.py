"""Measures the size of each step's image over its base, by package: `python -m benchmarks.image_sizes` after `make images`."""

import argparse
import json

import docker
import yaml

from pipeline.compiled import PIPELINE_YAML

# Run in an image: the bytes in each folder of the installed packages.
_MEASURE = """
import json, pathlib, site
sizes = {}
for packages in site.getsitepackages():
    for path in pathlib.Path(packages).rglob("*"):
        if path.is_file():
            name = path.relative_to(packages).parts[0].removesuffix(".libs").removesuffix(".py")
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
print(json.dumps(sizes))
"""


def main() -> None:
    """Prints the sizes as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="python:3.11-slim-bookworm", help="The base of the images.")
    parser.add_argument("--suffix", default="", help="The suffix of the tags: -cpu for `make images CPU=1`.")
    parser.add_argument("--packages", type=int, default=6, help="How many of the largest packages to list.")
    arguments = parser.parse_args()
    client = docker.from_env()
    base_bytes = client.images.get(arguments.base).attrs["Size"]
    executors = next(yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8")))["deploymentSpec"]["executors"]
    rows = ["| image | over the base | filled by |", "|---|---|---|"]
    for executor in executors.values():
        name = executor["container"]["image"] + arguments.suffix
        added_bytes = client.images.get(name).attrs["Size"] - base_bytes
        sizes = json.loads(client.containers.run(name, ["python3", "-c", _MEASURE], remove=True, network_mode="none"))
        largest = sorted(sizes.items(), key=lambda item: -item[1])[: arguments.packages]
        filled = ", ".join(f"{package} {num_bytes / 1e6:.0f}" for package, num_bytes in largest)
        rows.append(f"| {name} | {added_bytes / 1e6:.0f} MB | {filled} MB |")
    client.close()
    print("\n".join(rows))


if __name__ == "__main__":
    main()
