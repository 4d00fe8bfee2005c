#!/usr/bin/env bash
# Proves the package list: sets up and builds in a bare Debian 12 root, in which nothing lies by chance.
#
#   fresh-machine.sh [COMMAND...]     default: cargo build --offline -p dpdk-sys -p netlab
#
# The root is made by debootstrap in a scratch folder, entered with its own mount and process
# namespaces, and removed at the end; `make clean-machine` must leave its packages as they were. This machine's Rust toolchain and fetched crates are bound
# read-only, so the proof is about packages, not about rustup. Needs root, 3 GB of disk, 3 minutes.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/environment.sh"
[ "$(id -u)" = 0 ] || { echo "fresh-machine: needs root. Fix: run it as root." >&2; exit 1; }
command -v debootstrap >/dev/null || {
    echo "fresh-machine: debootstrap is missing. Fix: apt-get install debootstrap" >&2
    exit 1
}
FRESH=$(mktemp -d "${TMPDIR:-/tmp}/spk-fresh.$$.XXXXXX")
# Mounts live in the namespace of the inner shell and end with it.
trap 'rm -rf --one-file-system "$FRESH"' EXIT
[ $# -gt 0 ] || set -- cargo build --offline -p dpdk-sys -p netlab

debootstrap --variant=minbase bookworm "$FRESH" http://deb.debian.org/debian >"$FRESH.log" 2>&1 ||
    { tail "$FRESH.log" >&2; exit 1; }
rm -f "$FRESH.log"
echo "fresh-machine: bare root of $(chroot "$FRESH" dpkg-query -f '.\n' -W | wc -l) packages in $FRESH"
cp /etc/apt/sources.list.d/debian.sources "$FRESH/etc/apt/sources.list.d/" 2>/dev/null && : >"$FRESH/etc/apt/sources.list"
cp -L /etc/resolv.conf "$FRESH/etc/resolv.conf"
mkdir -p "$FRESH/opt/rust" "$FRESH/opt/cargo/registry" "$FRESH/opt/host" "$FRESH/src"
chmod 755 "$FRESH" # apt reads as a user of its own
git -C "$ROOT" ls-files -z | tar -C "$ROOT" --null -T - --ignore-failed-read -cf - 2>/dev/null | tar -C "$FRESH/src" -xf -
[ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt "$FRESH/opt/host/ca.crt"

chroot "$FRESH" dpkg-query -f '${Package}\n' -W | sort >"$FRESH/opt/host/packages"
export FRESH CARGO=${CARGO_HOME:-$HOME/.cargo} RUST
RUST=$(cd "$ROOT" && rustc --print sysroot)
unshare --mount --pid --fork --kill-child bash -s -- "$@" <<'INNER'
set -euo pipefail
mount --make-rprivate /
mount -t proc proc "$FRESH/proc"
mount --rbind /sys "$FRESH/sys"
mount --rbind /dev "$FRESH/dev"
for pair in "$RUST:opt/rust" "$CARGO/registry:opt/cargo/registry"; do
    mount --bind "${pair%%:*}" "$FRESH/${pair##*:}"
    mount -o remount,bind,ro "$FRESH/${pair##*:}"
done
start=$(date +%s)
inside() {
    chroot "$FRESH" env -i HOME=/root TERM=dumb CARGO_HOME=/opt/cargo \
        PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        ${http_proxy:+http_proxy=$http_proxy} ${https_proxy:+https_proxy=$https_proxy} \
        SSL_CERT_FILE=/opt/host/ca.crt PIP_CERT=/opt/host/ca.crt CURL_CA_BUNDLE=/opt/host/ca.crt \
        sh -c 'cd /src && exec "$@"' sh "$@"
}
# make is on the list too; here only the script that lies behind `make setup` can run first.
inside tests/setup/machine.sh up
echo "fresh-machine: set up in $(($(date +%s) - start)) s"
inside make setup
start=$(date +%s)
inside "$@"
echo "fresh-machine: '$*' passed in $(($(date +%s) - start)) s"
inside make clean-machine
left=$(chroot "$FRESH" dpkg-query -f '${Package}\n' -W | sort | comm -13 "$FRESH/opt/host/packages" -)
[ -z "$left" ] || { echo "fresh-machine: clean-machine left behind: $left" >&2; exit 1; }
echo "fresh-machine: clean-machine left no package behind"
INNER
