# Read by the start scripts, not run: where Flower keeps its files, and what it is to leave alone.
# shellcheck shell=sh
if [ -z "${FLWR_HOME:-}" ]; then
    FLWR_HOME=$DTFL_STATE/flower
    # An app whose copy was cut off by a power cut would be taken for whole, for ever.
    rm -rf "$FLWR_HOME/apps"
fi
export FLWR_HOME
export FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1
export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1
# How often a task is looked for; Flower's own 1 s is paid by every task of every round.
export FLWR_SUPEREXEC_TASK_POLL_INTERVAL="${FLWR_SUPEREXEC_TASK_POLL_INTERVAL:-0.1}"
