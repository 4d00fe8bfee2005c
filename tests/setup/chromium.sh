#!/usr/bin/env bash
# Installs headless Chromium for the suite `page`, unless it is there. It is no part of `make setup`:
# with its libraries it takes 310 MB.
set -euo pipefail
if command -v chromium-headless-shell; then exit; fi
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
as_root apt-get update -qq -o DPkg::Lock::Timeout=300
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 chromium-headless-shell fonts-dejavu-core
chromium-headless-shell --version
