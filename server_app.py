"""ServerApp: from the run config to twin, strategy, rounds and results."""

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from dtfl_app.core.config import RunConfig
from dtfl_app.messages.wire import to_record
from dtfl_app.server.session import open_session

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run each strategy that the config names from the same start, one after the other."""
    config = RunConfig.from_mapping(context.run_config)
    session = open_session(grid, config)
    for name in session.strategies:
        strategy = session.create(name)
        strategy.start(
            grid=grid,
            initial_arrays=to_record(session.initial_params(strategy)),
            num_rounds=config.run.rounds,
            timeout=config.round.timeout,
        )
        session.keep(name, strategy.state.model, strategy.calibration)
    session.finish()
