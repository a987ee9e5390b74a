"""The ServerApp: from the run config to twin, strategy, rounds and results."""

import logging

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import DTFLError
from dtfl_app.core.logs import tell
from dtfl_app.results.run_events import RunEvent
from dtfl_app.server.session import open_session

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the strategies that the config names; why it failed is told to who started the run."""
    try:
        run(grid, RunConfig.from_mapping(context.run_config))
    except (DTFLError, OSError) as error:
        # Flower lets nobody know more than that a run failed, not even that its disk is full.
        failed = RunEvent("failed", reason=str(error))
        tell(logging.ERROR, failed.describe(), failed.entries())
        raise


def run(grid: Grid, config: RunConfig) -> None:
    """Run each strategy that the config names from the same start, one after the other."""
    session = open_session(grid, config)
    for name in session.strategies:
        session.play(name, grid)
    session.finish()
