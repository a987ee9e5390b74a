#!/bin/sh
# Starts a site's SuperNode. It connects to the SuperLink; nothing connects to it from outside.
#
#   DTFL_SUPERLINK    host:port of the SuperLink
#   DTFL_CERTS        folder with ca.crt, the only certificate a site needs
#   DTFL_KEY          file of the private key ('dtfl keys'), registered at the SuperLink
#   DTFL_SITE         name of the site
#   DTFL_DATA         file with the site's readings, from the root
#   DTFL_SCHEMA       TOML that describes the file, from the root
#   DTFL_STATE        folder, from the root: what the site keeps is in site/, Flower's home in
#                     flower/ unless FLWR_HOME is set
#   DTFL_NODE_PORT    local port of Flower's Runtime API on 127.0.0.1; default 9094
#   DTFL_HEALTH       host:port of Flower's gRPC health service; default: none
#   DTFL_WARM         folder of the process that has torch loaded and forks for every task; default
#                     $DTFL_STATE/warm; "off" = Flower's own, a fresh process for every task
#   DTFL_PIN          hashes of the apps that this gateway runs ('dtfl pin'), separated by commas, or
#                     a file, from the root, with one a line; default: any app that a run brings
#   DTFL_NODE_CONFIG  more of Flower's node config, as it is, e.g. twin.plant="/data/plant.json"
#
# Exit code 2: a variable or file is missing. Any other is Flower's own.
set -eu

fail() {
    echo "supernode.sh: $1" >&2
    exit 2
}

required() {
    [ -n "$2" ] || fail "$1 is not set; expected $3"
}

from_root() {
    case $2 in
        /*) ;;
        *) fail "$1 = '$2'; expected a path from the root, since the app runs in a folder of Flower's" ;;
    esac
}

readable() {
    [ -f "$2" ] && [ -r "$2" ] || fail "$1 = '$2' is no file that user $(id -un 2>/dev/null || id -u) can read"
}

# A TOML string inside Flower's node config, which knows no escaped quotes.
quoted() {
    case $2 in
        *[[:cntrl:]]*) fail "$1 holds a line break or another control character" ;;
        *\"* | *\\*) ;;
        *)
            printf '"%s"' "$2"
            return
            ;;
    esac
    case $2 in
        *\'*) fail "$1 = $2 cannot be quoted for Flower: a single quote beside a double one or a backslash; rename it" ;;
    esac
    printf "'%s'" "$2"
}

required DTFL_SUPERLINK "${DTFL_SUPERLINK:-}" "host:port of the SuperLink"
required DTFL_CERTS "${DTFL_CERTS:-}" "the folder with ca.crt"
required DTFL_KEY "${DTFL_KEY:-}" "the private key that 'dtfl keys' wrote"
required DTFL_SITE "${DTFL_SITE:-}" "the name of the site"
required DTFL_DATA "${DTFL_DATA:-}" "the file with the site's readings"
required DTFL_SCHEMA "${DTFL_SCHEMA:-}" "the TOML that describes the file"
required DTFL_STATE "${DTFL_STATE:-}" "a folder that outlives the process"
: "${DTFL_NODE_PORT:=9094}"
port=${DTFL_SUPERLINK##*:}
case $DTFL_SUPERLINK/$port in
    *://* | :* | */ | */*[!0-9]* | "$port/$port")
        fail "DTFL_SUPERLINK = '$DTFL_SUPERLINK'; expected host:port without http://, e.g. superlink.example:8000"
        ;;
esac
case $DTFL_NODE_PORT in
    '' | *[!0-9]*) fail "DTFL_NODE_PORT = '$DTFL_NODE_PORT'; expected a whole number" ;;
esac
from_root DTFL_DATA "$DTFL_DATA"
from_root DTFL_SCHEMA "$DTFL_SCHEMA"
from_root DTFL_STATE "$DTFL_STATE"
readable "DTFL_CERTS: ca.crt" "$DTFL_CERTS/ca.crt"
readable DTFL_KEY "$DTFL_KEY"
readable DTFL_DATA "$DTFL_DATA"
readable DTFL_SCHEMA "$DTFL_SCHEMA"

# One assignment each: only then does a refusal end the script.
site=$(quoted DTFL_SITE "$DTFL_SITE")
data=$(quoted DTFL_DATA "$DTFL_DATA")
schema=$(quoted DTFL_SCHEMA "$DTFL_SCHEMA")
state=$(quoted DTFL_STATE "$DTFL_STATE/site")

case ${DTFL_PIN:-} in
    /*) readable DTFL_PIN "$DTFL_PIN" ;;
esac

umask 077 # a site's state holds its share of the model
mkdir -p "$DTFL_STATE/site" 2>/dev/null && [ -w "$DTFL_STATE/site" ] ||
    fail "$DTFL_STATE/site cannot be written to; give it to user $(id -un 2>/dev/null || id -u)"
command -v flower-supernode >/dev/null || fail "flower-supernode is not on PATH; put the bin folder of DTFL's Python there"

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/flower-home.sh"

: "${DTFL_WARM:=$DTFL_STATE/warm}"
if [ "$DTFL_WARM" != off ] || [ -n "${DTFL_PIN:-}" ]; then
    DTFL_PYTHON=$(dirname -- "$(command -v flower-supernode)")/python
    [ -x "$DTFL_PYTHON" ] || fail "$DTFL_PYTHON is missing; expected the Python of flower-supernode beside it, or DTFL_WARM=off and no DTFL_PIN"
    PATH=$here/warm:$PATH
    export DTFL_WARM DTFL_PYTHON PATH
    [ -z "${DTFL_PIN:-}" ] || export DTFL_PIN
fi

set -- \
    --superlink "$DTFL_SUPERLINK" \
    --root-certificates "$DTFL_CERTS/ca.crt" --auth-supernode-private-key "$DTFL_KEY" \
    --host 127.0.0.1 --port "$DTFL_NODE_PORT" \
    --node-config "site-name=$site data-path=$data data.schema=$schema state.dir=$state${DTFL_NODE_CONFIG:+ $DTFL_NODE_CONFIG}"
[ -z "${DTFL_HEALTH:-}" ] || set -- "$@" --health-server-address "$DTFL_HEALTH"
exec flower-supernode "$@"
