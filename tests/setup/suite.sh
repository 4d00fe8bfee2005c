#!/usr/bin/env bash
# Runs suites by name, one after the other, and says how long each took.
#
#   suite.sh pure dpdk lab licence demo     tests, by nextest profile (.config/nextest.toml)
#   suite.sh check | bench | soak | static | page | show
#
# All suites build the whole workspace with the same features, so that each compiles once.
# The exit code is not 0 if any part failed; later parts still run.
set -uo pipefail
. "$(cd "$(dirname "$0")" && pwd)/environment.sh"
cd "$ROOT" || exit 1

SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
FAILED=()

# Runs one part, shows its output and keeps its wall time.
part() {
    local name=$1 start end rc=0
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    start=$(date +%s)
    "$@" 2>&1 </dev/null | tee "$SCRATCH/$name.log"
    rc=${PIPESTATUS[0]}
    end=$(date +%s)
    awk -v n="$name" -v s=$((end - start)) -v r="$rc" \
        'BEGIN { printf "%-10s %5.1f min  %s\n", n, s / 60, r == 0 ? "ok" : "FAILED" }' >>"$SCRATCH/table"
    grep -E 'Summary \[' "$SCRATCH/$name.log" | sed -e 's/\x1b\[[0-9;]*m//g' -e "s/^ */$name: /" >>"$SCRATCH/closing"
    [ "$rc" = 0 ] || FAILED+=("$name")
    return "$rc"
}

nextest() { part "$1" cargo nextest run --workspace --profile "$1" "${@:2}"; }

# A network of its own with nothing but loopback: no test of the licence plane leaves the machine.
nextest_alone() {
    part "$1" unshare --net sh -c 'ip link set lo up && exec "$@"' sh \
        cargo nextest run --offline --workspace --profile "$1"
}

# The programs that lab, licence and demo run are the shipped ones.
PROGRAMS=no
programs() {
    [ "$PROGRAMS" = yes ] && return
    part programs cargo build --quiet --release --workspace --bins && PROGRAMS=yes
}

tests_built() { [ -e "$SCRATCH/build.log" ] || part build cargo nextest run --workspace --no-run; }

check() {
    part fmt cargo fmt --all --check
    part clippy cargo clippy --quiet --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS=-Dwarnings part doc cargo doc --quiet --workspace --no-deps
    part deny cargo deny --log-level error check licenses bans sources
    part directions cargo test --quiet -p spk-tests --test directions
}

# The form for containers: DPDK and its common drivers inside the program. It lies in a folder of its
# own, as features of one build would replace the programs of the other.
static() {
    part static cargo build --quiet --release -p tmm --features capsule/static \
        --target-dir "$CARGO_TARGET_DIR/static" || return
    part contained static_tmm
}

static_tmm() {
    local tmm=$CARGO_TARGET_DIR/static/release/tmm
    "$tmm" --version && stat -c '%s bytes' "$tmm" || return
    if ldd "$tmm" | grep librte; then
        echo "the static tmm needs shared objects of DPDK" >&2
        return 1
    fi
}

# For people: cargo's own progress on a terminal, one line without.
show() {
    local quiet=
    [ -t 1 ] || quiet=--quiet
    echo "demo: builds the programs (the first time about 8 minutes on 2 cores, 1.5 GB in $CARGO_TARGET_DIR)"
    cargo build $quiet --release --workspace --bins || return
    "$CARGO_TARGET_DIR/release/demo"
}

for name in "$@"; do
    case $name in
    pure | dpdk) tests_built && nextest "$name" ;;
    lab | demo) tests_built && programs && nextest "$name" ;;
    licence) tests_built && programs && nextest_alone licence ;;
    check) check ;;
    bench) programs && part bench cargo run --quiet --release -p spk-benches --bin spk-bench ;;
    static) static ;;
    page) part chromium tests/setup/chromium.sh && tests_built && nextest page ;;
    soak) static; programs && for _ in $(seq "${ROUNDS:-20}"); do nextest lab || break; done ;;
    show) show || FAILED+=(demo) ;;
    *) echo "unknown suite '$name'" >&2; exit 2 ;;
    esac
done

[ "$1" = show ] || {
    printf '\n== minutes per part\n'
    cat "$SCRATCH/table"
    cat "$SCRATCH/closing" 2>/dev/null
}
[ ${#FAILED[@]} = 0 ] || { printf '\nfailed: %s\n' "${FAILED[*]}"; exit 1; }
