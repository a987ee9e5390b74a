"""Another Flower app's server, with the module names that most apps have."""

import json

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Average the sites' numbers, and print their metrics as JSON."""
    result = FedAvg(fraction_evaluate=0.0).start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(3, np.float32)]),
        num_rounds=int(context.run_config["rounds"]),
    )
    metrics = {number: dict(found) for number, found in result.train_metrics_clientapp.items()}
    print("other app:", json.dumps(metrics))
