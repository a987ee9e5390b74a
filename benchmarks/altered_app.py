"""A Flower app that is ours, but for what some of its sites do.

It has one more key in its run config, which says what that is; server and sites themselves never
see the key. Tests of bad replies and the poisoning benchmark run such apps on Flower's real engine.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

from dtfl_app.core.settings import flat

__all__ = ["write_altered_app"]

ROOT = Path(__file__).resolve().parents[1]

_SERVER = """
from flwr.app import Context
from flwr.serverapp import ServerApp

from dtfl_app.server.app import app as ours

app = ServerApp()


@app.main()
def main(grid, context):
    config = {key: value for key, value in context.run_config.items() if key != "KEY"}
    own = Context(context.run_id, context.node_id, context.node_config, context.state, config)
    ours(grid, own)
"""

_CLIENT = """
from pathlib import Path

from flwr.app import Context
from flwr.clientapp import ClientApp

from dtfl_app.client.app import app as ours
from MODULE import altered

app = ClientApp()


def answer(message, context):
    config = dict(context.run_config)
    handler = altered(ours, config.pop("KEY"), Path(config["results-dir"]))
    # A context of its own, with the same state: the engine keeps the one it gave.
    own = Context(context.run_id, context.node_id, context.node_config, context.state, config)
    return handler(message, own)


for register in (app.train(), app.query("profile"), app.query("calibrate")):
    register(answer)
"""


def write_altered_app(folder: Path, module: Path, key: str) -> Path:
    """Write the app into a new folder and return it.

    Parameters
    ----------
    folder : where; must not exist.
    module : Python file that goes into the app. Its ``altered(handler, text, results)`` returns
        what a site does instead of `handler`, which is ours; `text` is the value of `key`,
        `results` the folder of the run's results. It may import what is installed.
    key : name of the further run-config key; its default is "".
    """
    folder.mkdir(parents=True)
    shutil.copy(module, folder)
    for name, text in (("altered_server", _SERVER), ("altered_client", _CLIENT)):
        (folder / f"{name}.py").write_text(text.replace("KEY", key).replace("MODULE", module.stem))
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    lines = [
        '[project]\nname = "altered"\nversion = "1.0.0"\ndependencies = []',
        f"[tool.flwr.app]\npublisher = {json.dumps(ours['publisher'])}",
        '[tool.flwr.app.components]\nserverapp = "altered_server:app"',
        'clientapp = "altered_client:app"\n[tool.flwr.app.config]',
        *(f"{k} = {json.dumps(v)}" for k, v in {**flat(ours["config"]), key: ""}.items()),
    ]
    (folder / "pyproject.toml").write_text("\n".join(lines) + "\n")
    return folder
