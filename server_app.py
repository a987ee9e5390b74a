"""Where `flwr run .` finds the ServerApp, which is `dtfl_app.server.app`."""

from dtfl_app.engine.doors import made_way

if not made_way(__name__, __file__):
    from dtfl_app.server.app import app

__all__ = ["app"]
