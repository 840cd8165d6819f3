#!/usr/bin/env bash
# Resolves every extra of pyproject.toml at once, then writes each image's share of that one resolution, with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_CUSTOM_COMPILE_COMMAND="make lock"
compile=(uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate)
"${compile[@]}" --extra={ingest,convert,train,evaluate,push,serve,export,tensorflow,pipeline,dev} pyproject.toml -o requirements/all.txt

# share <name> <extra>...: writes what these extras need to requirements/<name>.txt.
share() {
    local name=$1
    shift
    "${compile[@]}" "${@/#/--extra=}" -c requirements/all.txt pyproject.toml -o "requirements/$name.txt"
}
for name in ingest convert push pipeline bench site; do
    share "$name" "$name"
done
share evaluate evaluate tensorflow-cpu
share train-cpu train tensorflow-cpu
share train-gpu train tensorflow-gpu
share serve-cpu serve tensorflow-cpu
share serve-gpu serve tensorflow-gpu
for name in uv pip-audit; do
    echo "$name" | "${compile[@]}" -c requirements/all.txt - -o "requirements/$name.txt"
done
# What builds the project's own package, and reads the requirements for its bill of materials.
printf '%s\n' packaging "setuptools>=80" | "${compile[@]}" -c requirements/all.txt - -o requirements/build.txt
# What an image needs of KFP: its executor alone.
grep -o '^kfp==[^ ]*' requirements/all.txt | "${compile[@]}" --no-deps - -o requirements/executor.txt
