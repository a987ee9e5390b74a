"""Where `flwr run .` finds the ClientApp, which is `dtfl_app.client.app`."""

from dtfl_app.engine.doors import made_way

if not made_way(__name__, __file__):
    from dtfl_app.client.app import app

__all__ = ["app"]
