#!/bin/sh
# Create benchmarks/peers/PEER/.venv with the pinned packages of that peer: sh install.sh sb3|rllib|pybullet
# A peer lives in an environment of its own, because its pins conflict with ours (RLlib's Gymnasium).
# Troupe goes in without its dependencies, for its environments: "--import troupe.envs".
set -eu
peers=$(cd "$(dirname "$0")" && pwd)
peer="$peers/${1:?usage: install.sh sb3|rllib|pybullet}"
root=$(dirname "$(dirname "$peers")")
install() { "$peer/.venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
"${PYTHON:-python3}" -m venv --clear "$peer/.venv"
install --no-deps --require-hashes --requirement "$peer/requirements.txt" --requirement "$root/requirements/build.txt"
install --no-deps --no-build-isolation --editable "$root"
