#!/usr/bin/env bash
# Prepares a Debian 12 machine for `make demo`, `make test` and `make bench`, and undoes it.
#
#   machine.sh up      do what is missing (safe to repeat; a second run takes under two seconds)
#   machine.sh plan    print what `up` would do, change nothing
#   machine.sh down    undo what `up` did, and only that
#
# Works without a terminal. Needs root (or sudo without a password) for packages and huge pages.
# What was changed is recorded in /var/lib/spk-setup, which `down` reads.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/environment.sh"

RECORD=/var/lib/spk-setup
HUGEPAGES=${HUGEPAGES:-1024} # of 2 MiB
HUGE_FILE=/proc/sys/vm/nr_hugepages
MODE=${1:-up}

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Runs a command, or prints it when only planning.
act() {
    if [ "$MODE" = plan ]; then printf 'would run: %s\n' "$*"; else "$@"; fi
}

need_root() {
    [ "$MODE" = plan ] && return
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null && sudo -n true 2>/dev/null && return
    fail "needs root to $1. Fix: run it as root, or allow sudo without a password."
}

wanted() { sed -e 's/#.*//' "$HERE/packages.txt" | awk 'NF { print $1 }'; }
installed() { dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null | awk '$1 == "ii" { print $2 }' | sort -u; }
missing() { comm -23 <(wanted | sort -u) <(installed); }

# Daemons of installed packages (nginx) must not start: the lab starts its own.
quiet_install() {
    local policy=/usr/sbin/policy-rc.d ours=no
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        ours=yes
    fi
    local rc=0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >"$SPK_CACHE/apt.log" 2>&1 || rc=$?
    if [ "$ours" = yes ]; then as_root rm -f "$policy"; fi
    [ "$rc" = 0 ] || { tail -n 20 "$SPK_CACHE/apt.log" >&2; fail "apt-get failed; log: $SPK_CACHE/apt.log"; }
    if [ -d /run/systemd/system ] && printf '%s\n' "$@" | grep -qx nginx-light; then
        as_root systemctl disable -q nginx || true
    fi
}

packages_up() {
    local want before
    mapfile -t want < <(missing)
    if [ "${#want[@]}" = 0 ]; then say "packages: all $(wanted | wc -l) present"; return; fi
    command -v apt-get >/dev/null || fail "this is not a Debian machine. Fix: use Debian 12, or install the packages named in tests/setup/packages.txt."
    say "packages: installs ${#want[@]} (root, up to 75 MB to fetch, 600 MB of disk, about 1 minute): ${want[*]}"
    need_root "install packages"
    if [ "$MODE" = plan ]; then printf 'would run: apt-get update; apt-get install --no-install-recommends %s\n' "${want[*]}"; return; fi
    before=$(mktemp)
    installed >"$before"
    as_root apt-get update -qq -o DPkg::Lock::Timeout=300 </dev/null || fail "apt-get update failed. Fix: check the network and /etc/apt."
    quiet_install "${want[@]}"
    as_root mkdir -p "$RECORD"
    comm -13 "$before" <(installed) | as_root tee -a "$RECORD/packages" >/dev/null
    rm -f "$before"
}

hugepages_up() {
    local have
    have=$(cat "$HUGE_FILE" 2>/dev/null || echo 0)
    if [ "$have" -ge "$HUGEPAGES" ]; then say "huge pages: $have of 2 MiB reserved"; return; fi
    say "huge pages: reserves $HUGEPAGES of 2 MiB, now $have (root, $((HUGEPAGES * 2)) MiB of memory, at once)"
    need_root "reserve huge pages"
    if [ "$MODE" = plan ]; then printf 'would run: sysctl vm.nr_hugepages=%s\n' "$HUGEPAGES"; return; fi
    as_root mkdir -p "$RECORD"
    [ -e "$RECORD/hugepages" ] || echo "$have" | as_root tee "$RECORD/hugepages" >/dev/null
    echo "$HUGEPAGES" | as_root tee "$HUGE_FILE" >/dev/null
    have=$(cat "$HUGE_FILE")
    if [ "$have" -lt 256 ]; then
        fail "the kernel gave $have huge pages. Fix: free memory or reboot, then repeat; 256 are the least."
    fi
    say "huge pages: $have reserved"
}

rust_up() {
    if command -v cargo >/dev/null; then
        say "rust: cargo present; rust-toolchain.toml picks the version"
        return
    fi
    say "rust: installs rustup and the toolchain of rust-toolchain.toml into the home folder (no root, 250 MB to fetch, 900 MB of disk, about 2 minutes)"
    if [ "$MODE" = plan ]; then
        printf "would run: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none\n"
        printf 'would run: rustup toolchain install (the one named in rust-toolchain.toml)\n'
        return
    fi
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y -q --profile minimal --default-toolchain none --no-modify-path ||
        fail "rustup could not be fetched. Fix: install Rust 1.95 from https://rustup.rs and repeat."
    (cd "$ROOT" && rustup toolchain install)
}

# Puts one cargo subcommand into the tools folder: from its wheel, else built from source.
tool_up() {
    local name=$1 version=$2 bin=$SPK_CACHE/tools/bin/$1 scratch
    if [ -x "$bin" ] && [ "$(cat "$SPK_CACHE/tools/$name.version" 2>/dev/null)" = "$version" ]; then
        say "$name: $version present"
        return
    fi
    say "$name: fetches $version into $SPK_CACHE/tools (no root, 10 MB, 2 seconds; 4 minutes if it must be built)"
    if [ "$MODE" = plan ]; then
        printf 'would run: pip download --require-hashes of tests/setup/tools.txt; else cargo install %s\n' "$name"
        return
    fi
    scratch=$(mktemp -d)
    mkdir -p "$SPK_CACHE/tools/bin"
    if [ "$(uname -m)" = x86_64 ] &&
        python3 -m pip download -q --no-deps --require-hashes --only-binary :all: -d "$scratch" \
            -r <(grep -A1 "^astral-dev-toolchain-$name==" "$HERE/tools.txt") </dev/null 2>"$scratch/pip.log" &&
        python3 -m zipfile -e "$scratch"/*.whl "$scratch"; then
        install -m 755 "$scratch"/*.data/scripts/"$name" "$bin"
    else
        say "$name: no wheel ($(tail -n 1 "$scratch/pip.log" 2>/dev/null || true)); builds it"
        cargo install -q --locked --root "$SPK_CACHE/tools" --version "$version" "$name"
    fi
    echo "$version" >"$SPK_CACHE/tools/$name.version"
    rm -rf "$scratch"
}

tools_up() {
    local name version
    while IFS='=' read -r name version; do
        tool_up "$name" "$version"
    done < <(sed -n 's/^astral-dev-toolchain-\([a-z-]*\)==\([0-9.]*\).*/\1=\2/p' "$HERE/tools.txt")
}

up() {
    [ "$MODE" = plan ] || mkdir -p "$SPK_CACHE"
    packages_up
    hugepages_up
    say "mounts: none needed (DPDK runs in memory, without hugetlbfs; BPF programs are not pinned)"
    rust_up
    tools_up
}

# Purges the recorded packages, but keeps them when something else came to need one.
packages_down() {
    local list extra
    mapfile -t list < <(sort -u "$RECORD/packages" | comm -12 - <(installed))
    [ "${#list[@]}" = 0 ] && return
    extra=$(as_root apt-get -s purge "${list[@]}" 2>/dev/null | awk '$1 == "Purg" || $1 == "Remv" { print $2 }' | sort -u |
        comm -23 - <(printf '%s\n' "${list[@]}" | sort -u))
    if [ -n "$extra" ]; then
        say "packages: kept, since others now need them: $(echo "$extra" | tr '\n' ' ')"
        return
    fi
    say "packages: removes ${#list[@]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "${list[@]}" </dev/null >/dev/null
}

down() {
    if [ -d "$RECORD" ]; then
        need_root "undo the set-up"
        [ ! -e "$RECORD/packages" ] || packages_down
        if [ -e "$RECORD/hugepages" ]; then
            say "huge pages: back to $(cat "$RECORD/hugepages")"
            as_root tee "$HUGE_FILE" <"$RECORD/hugepages" >/dev/null
        fi
        as_root rm -rf "$RECORD"
    else
        say "nothing recorded in $RECORD: packages and huge pages were there before and stay"
    fi
    say "removes $SPK_CACHE (tools, CI builds); Rust stays, remove it by: rustup self uninstall"
    rm -rf "$SPK_CACHE"
}

case $MODE in
up | plan) up ;;
down) down ;;
*) fail "unknown mode '$MODE': up, plan or down" ;;
esac
