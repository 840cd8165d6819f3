#!/usr/bin/env bash
# Prints the base image: pinned by the digest in release.json, or by its tag alone if no registry has that digest.
# `base.sh --renew` writes the tag's current digest in the registry to release.json.
set -euo pipefail
file=$(dirname "$0")/release.json docker=${DOCKER:-docker}
field() { sed -n "s/^ *\"$1\": \"\(.*\)\".*/\1/p" "$file"; }
tag=$(field base)
if [ "${1:-}" = --renew ]; then
    "$docker" pull --quiet "$tag" >&2
    digest=$("$docker" image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$tag" | sed -n 's/.*@//p' | head -n 1)
    sed -i "s/\"digest\": \".*\"/\"digest\": \"$digest\"/" "$file"
fi
pinned=$tag@$(field digest)
if "$docker" image inspect "$pinned" >/dev/null 2>&1 || timeout 300 "$docker" pull --quiet "$pinned" >/dev/null 2>&1; then
    echo "$pinned"
else
    echo "No registry has $pinned: building from this machine's $tag." >&2
    echo "$tag"
fi
