"""The ClientApp: one industrial site. The handlers delegate to `tasks`."""

import sys

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from dtfl_app.client import tasks

if "flwr.server.superlink.fleet.vce" in sys.modules:
    # Flower's simulation loads the app before it makes its workers; no gateway loads the engine.
    from dtfl_app.engine.mend import mend_engine

    mend_engine()

app = ClientApp()


@app.query("profile")
def profile(message: Message, context: Context) -> Message:
    """Say who this site is and share per-channel moments."""
    return tasks.profile(message, context)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Calibrate on the received model, train it, reply with the wanted layers."""
    return tasks.train_round(message, context)


@app.query("calibrate")
def calibrate(message: Message, context: Context) -> Message:
    """Calibrate on the final model."""
    return tasks.calibrate(message, context)
