# Sourced by the scripts beside it: where tools and builds lie.
#
# SPK_CACHE is a folder of the user outside the checkout, so that a fresh clone is not cold.
# A CI run (CI=true) without its own CARGO_TARGET_DIR builds there too.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SPK_CACHE=${SPK_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/spk}
PATH=$SPK_CACHE/tools/bin:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH
if [ "${CI:-}" = true ] && [ -z "${CARGO_TARGET_DIR:-}" ]; then
    CARGO_TARGET_DIR=$SPK_CACHE/target
fi
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}
export ROOT SPK_CACHE PATH CARGO_TARGET_DIR
