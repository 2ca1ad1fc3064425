#!/bin/sh
# Pin requirements.in of all peers into requirements.txt. Needs uv, and in UV_FIND_LINKS
# a folder or page with PyTorch's CPU wheel.
set -eu
cd "$(dirname "$0")"
export UV_CUSTOM_COMPILE_COMMAND="benchmarks/peers/compile.sh"
for peer in sb3 rllib pybullet lerobot; do
    "${UV:-uv}" pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
        "$peer/requirements.in" --output-file "$peer/requirements.txt"
done
