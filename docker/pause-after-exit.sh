#!/bin/sh
# Runs a command; when it ends by itself, waits DTFL_RESTART_PAUSE seconds (70) before ending too.
#
# A container engine restarts at once. A SuperNode that was killed is refused until the SuperLink
# has missed its heartbeats for a minute, and one with a wrong clock ends without an error (code 0),
# so the pause is kept after every end but one that was asked for (TERM or INT).
set -eu

left=${DTFL_RESTART_PAUSE:-70}
stopped=
child=
# shellcheck disable=SC2329 # the trap calls it
stop() {
    stopped=yes
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
}
trap stop TERM INT

"$@" &
child=$!
[ -z "$stopped" ] || stop # a signal that came before the child's number was known
code=0
wait "$child" || code=$?
while kill -0 "$child" 2>/dev/null; do # a trapped signal ends 'wait' before the child has ended
    code=0
    wait "$child" || code=$?
done
child=

[ -n "$stopped" ] || echo "pause-after-exit.sh: ended with code $code; waiting $left s before a restart" >&2
while [ -z "$stopped" ] && [ "$left" -gt 0 ]; do
    sleep 1 # short, so that a signal is not kept waiting
    left=$((left - 1))
done
exit "$code"
