#!/usr/bin/env bash
# Resolves every extra of pyproject.toml at once, then writes each step's share of that one resolution, with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_CUSTOM_COMPILE_COMMAND="make lock"
compile=(uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate)
"${compile[@]}" --all-extras pyproject.toml -o requirements/all.txt
for extra in ingest convert train evaluate push pipeline; do
    "${compile[@]}" --extra "$extra" -c requirements/all.txt pyproject.toml -o "requirements/$extra.txt"
done
echo uv | "${compile[@]}" -c requirements/all.txt - -o requirements/uv.txt
# What an image needs of KFP: its executor alone.
grep -o '^kfp==[^ ]*' requirements/all.txt | "${compile[@]}" --no-deps - -o requirements/executor.txt
