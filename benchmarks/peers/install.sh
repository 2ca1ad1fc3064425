#!/bin/sh
# Create benchmarks/peers/PEER/.venv with the pinned packages of that peer: sh install.sh sb3|rllib
# A peer lives in an environment of its own, because its pins conflict with ours (RLlib's Gymnasium).
set -eu
peer=$(cd "$(dirname "$0")/${1:?usage: install.sh sb3|rllib}" && pwd)
"${PYTHON:-python3}" -m venv --clear "$peer/.venv"
"$peer/.venv/bin/pip" install --quiet --require-hashes --requirement "$peer/requirements.txt"
