"""Prints the Python packages of an image as CycloneDX: those of its locked requirements that apply to this system.

    sbom.py <image> <version> <requirements file>...

The same arguments give the same bytes, without a time or serial number. Debian's packages are those of the base image.
"""

import json
import re
import sys
from pathlib import Path

from packaging.requirements import Requirement


def main() -> None:
    """Prints the bill of materials."""
    image, version, *paths = sys.argv[1:]
    # uv writes one line per package, followed by indented lines of hashes.
    lines = re.findall(r"^[a-z0-9].*?(?= \\$|$)", "".join(Path(path).read_text() for path in paths), re.MULTILINE)
    wanted = [one for one in map(Requirement, lines) if not one.marker or one.marker.evaluate()]
    pins = sorted((one.name, pin.version) for one in wanted for pin in one.specifier)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "name": f"hpa-pipeline/{image}",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [
            {"type": "library", "bom-ref": purl, "name": name, "version": pin, "purl": purl}
            for name, pin in pins
            for purl in [f"pkg:pypi/{name}@{pin}"]
        ],
    }
    print(json.dumps(bill, indent=2))


if __name__ == "__main__":
    main()
