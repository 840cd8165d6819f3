"""Fingerprints: equal inputs and parameters give equal ones, on any machine and at any time."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FINGERPRINT_LENGTH = 16


def fingerprint(step: str, code_format: int, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Hashes everything that determines a step's output into 16 hexadecimal digits.

    Args:
        step: The step's name.
        code_format: The step's `FORMAT`, which is incremented whenever a change of its code changes its output.
        inputs: Fingerprints or checksums of the inputs' content; never URIs, times or machine names.
        parameters: The parameters that change the output, as JSON values.
    """
    content = {"step": step, "format": code_format, "inputs": dict(inputs), "parameters": dict(parameters)}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:FINGERPRINT_LENGTH]
