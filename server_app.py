"""ServerApp: from the run config to twin, strategy, rounds and results."""

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from dtfl_app.core.config import RunConfig
from dtfl_app.server.session import open_session

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run each strategy that the config names from the same start, one after the other."""
    session = open_session(grid, RunConfig.from_mapping(context.run_config))
    for name in session.strategies:
        session.play(name, grid)
    session.finish()
