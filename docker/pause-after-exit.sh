#!/bin/sh
# Runs a command; when it ends by itself, waits DTFL_RESTART_PAUSE seconds (70) before ending too.
#
# A container engine restarts at once. A SuperNode that was killed is refused until the SuperLink
# has missed its heartbeats for a minute, and one with a wrong clock ends without an error (code 0),
# so the pause is kept after every end but one that was asked for (TERM or INT).
set -eu

: "${DTFL_RESTART_PAUSE:=70}"
stopped=
child=
# shellcheck disable=SC2329 # the trap calls it
stop() {
    stopped=yes
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
}
trap stop TERM INT

# A trapped signal ends 'wait' before the child has ended.
await() {
    code=0
    wait "$child" || code=$?
    while kill -0 "$child" 2>/dev/null; do
        code=0
        wait "$child" || code=$?
    done
}

"$@" &
child=$!
await
if [ -z "$stopped" ]; then
    ended=$code
    echo "pause-after-exit.sh: ended with code $ended; waiting $DTFL_RESTART_PAUSE s before a restart" >&2
    sleep "$DTFL_RESTART_PAUSE" &
    child=$!
    await
    code=$ended
fi
exit "$code"
