#!/bin/sh
# Starts the app's server side beside a SuperLink with DTFL_SERVERAPP=apart, as a user of its own: a
# run's code then reads neither the SuperLink's key nor its database.
#
#   DTFL_CERTS      folder with ca.crt, the only certificate it needs
#   DTFL_STATE      folder for Flower's home, unless FLWR_HOME is set; results may be kept in it too
#   DTFL_SUPERLINK  host:port of the SuperLink, not of the proxy; default 127.0.0.1:8001
#
# Exit code 2: a variable or file is missing. Any other is Flower's own.
set -eu

fail() {
    echo "serverapp.sh: $1" >&2
    exit 2
}

[ -n "${DTFL_CERTS:-}" ] || fail "DTFL_CERTS is not set; expected the folder with ca.crt"
[ -n "${DTFL_STATE:-}" ] || fail "DTFL_STATE is not set; expected a folder that outlives the process"
: "${DTFL_SUPERLINK:=127.0.0.1:8001}"
[ -r "$DTFL_CERTS/ca.crt" ] ||
    fail "$DTFL_CERTS/ca.crt cannot be read; give it to user $(id -un 2>/dev/null || id -u)"

umask 027 # results hold the model and what the sites reported
mkdir -p "$DTFL_STATE" 2>/dev/null && [ -w "$DTFL_STATE" ] ||
    fail "$DTFL_STATE cannot be written to; give it to user $(id -un 2>/dev/null || id -u)"
command -v flower-superexec >/dev/null || fail "flower-superexec is not on PATH; put the bin folder of DTFL's Python there"

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/flower-home.sh"

exec flower-superexec \
    --runtime-api-address "$DTFL_SUPERLINK" --root-certificates "$DTFL_CERTS/ca.crt"
