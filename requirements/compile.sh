#!/usr/bin/env bash
# Pins every dependency with its hashes. dev.lock is the whole set; the images' locks are subsets of it, so that
# what is tested is what ships. No index URLs: an index is the reader's own choice.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() { # lock OUTPUT ARGS...: compiles for the oldest Python that is supported
    local output=$1
    shift
    uv pip compile --quiet pyproject.toml "$@" --python-version 3.11 --universal --generate-hashes \
        --no-emit-index-url --no-annotate --no-header --output-file "requirements/$output"
}
lock dev.lock --all-extras ${UPGRADE:+--upgrade}
lock operator.lock --extra operator --constraint requirements/dev.lock
lock server.lock --extra server --constraint requirements/dev.lock
# `headway bundle` gives a model what its server needs: the lock is a part of the package.
cp requirements/server.lock cli/headway_cli/server.lock
lock trainer.lock --extra trainer --extra tracking --constraint requirements/dev.lock
grep -A1000 '^uv==' requirements/dev.lock | awk 'NR > 1 && /^[a-z]/ {exit} {print}' > requirements/bootstrap.lock
# What builds our wheel, for the images.
sed -n 's/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml | uv pip compile --quiet - --python-version 3.11 --universal \
    --generate-hashes --no-emit-index-url --no-annotate --no-header --constraint requirements/dev.lock \
    --output-file requirements/build.lock
# Environments of their own: foreign clients, trackers of experiments and what users install with, for tests, and what
# builds the site of docs/.
for name in clients pipx site trackers; do
    uv pip compile --quiet "requirements/$name.in" --python-version 3.11 --universal --generate-hashes \
        --no-emit-index-url --no-annotate --no-header ${UPGRADE:+--upgrade} --output-file "requirements/$name.lock"
done
