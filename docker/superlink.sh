#!/bin/sh
# Starts the SuperLink: TLS and SuperNode authentication are always on.
#
#   DTFL_CERTS      folder with ca.crt, superlink.crt and superlink.key ('dtfl certificates')
#   DTFL_STATE      folder for state.db and, unless FLWR_HOME is set, Flower's home
#   DTFL_HOST       address to listen on; default 0.0.0.0
#   DTFL_PORT       the one port for nodes and operators; default 8000
#   DTFL_SERVERAPP  "inside": runs' code on the server is started by the SuperLink, as its user;
#                   "apart": by serverapp.sh, as another; default inside
#   DTFL_LOGS       folder for superlink.log; default $DTFL_STATE/logs
#   DTFL_LOG_HOURS  a new log file every so many hours; default 24
#   DTFL_LOG_KEEP   so many old ones are kept; default 14
#   DTFL_HEALTH     host:port of Flower's gRPC health service; default: none
#
# Exit code 2: a variable or file is missing. Any other is Flower's own.
set -eu

fail() {
    echo "superlink.sh: $1" >&2
    exit 2
}

number() {
    case $2 in
        '' | *[!0-9]*) fail "$1 = '$2'; expected a whole number" ;;
    esac
}

[ -n "${DTFL_CERTS:-}" ] || fail "DTFL_CERTS is not set; expected the folder that 'dtfl certificates' wrote"
[ -n "${DTFL_STATE:-}" ] || fail "DTFL_STATE is not set; expected a folder that outlives the process"
: "${DTFL_HOST:=0.0.0.0}" "${DTFL_PORT:=8000}" "${DTFL_LOGS:=$DTFL_STATE/logs}"
: "${DTFL_LOG_HOURS:=24}" "${DTFL_LOG_KEEP:=14}"
case ${DTFL_SERVERAPP:=inside} in
    inside | apart) ;;
    *) fail "DTFL_SERVERAPP = '$DTFL_SERVERAPP'; expected inside or apart" ;;
esac
number DTFL_PORT "$DTFL_PORT"
number DTFL_LOG_HOURS "$DTFL_LOG_HOURS"
number DTFL_LOG_KEEP "$DTFL_LOG_KEEP"
for name in ca.crt superlink.crt superlink.key; do
    [ -r "$DTFL_CERTS/$name" ] ||
        fail "$DTFL_CERTS/$name cannot be read; make it with 'dtfl certificates', or give it to user $(id -un 2>/dev/null || id -u)"
done

umask 027 # the database holds what is sent to the sites and their replies
for folder in "$DTFL_STATE" "$DTFL_LOGS"; do
    mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ] ||
        fail "$folder cannot be written to; give it to user $(id -un 2>/dev/null || id -u)"
done
command -v flower-superlink >/dev/null || fail "flower-superlink is not on PATH; put the bin folder of DTFL's Python there"

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/flower-home.sh"

set -- \
    --host "$DTFL_HOST" --port "$DTFL_PORT" \
    --ssl-ca-certfile "$DTFL_CERTS/ca.crt" \
    --ssl-certfile "$DTFL_CERTS/superlink.crt" --ssl-keyfile "$DTFL_CERTS/superlink.key" \
    --enable-supernode-auth --disable-runtime-dependency-installation \
    --database "$DTFL_STATE/state.db" \
    --log-file "$DTFL_LOGS/superlink.log" \
    --log-rotation-interval-hours "$DTFL_LOG_HOURS" --log-rotation-backup-count "$DTFL_LOG_KEEP"
[ "$DTFL_SERVERAPP" = inside ] || set -- "$@" --isolation process
[ -z "${DTFL_HEALTH:-}" ] || set -- "$@" --health-server-address "$DTFL_HEALTH"
exec flower-superlink "$@"
