"""A top-level module that makes way for the one of another app that has the same name.

Flower's simulation loads an app in its own process, where the app's folder comes first on the path.
Its workers import the app's modules by name, and on their path Ray puts the folder in which the
SuperLink was started first. Flower's SuperLink for simulations is shared by all apps and started by
the first `flwr run`: when that was in this repository's folder, every other app with a module
``client_app``, as most have, got ours.

- Written for flwr 1.41.0 with ray 2.55.1.
- Changes nothing of theirs; it knows where Flower unpacks apps (`get_flwr_home`, ``apps``).
- Breaks when Flower unpacks them elsewhere or takes their folder off the workers' path: then sites
  of another app fail, ours do not.
- `tests/system/test_beside_another_app.py` tells.
- Delete it, and its calls in the two front doors, when that test passes without it.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

from flwr.supercore.utils import get_flwr_home

__all__ = ["made_way"]


def made_way(name: str, file: str) -> bool:
    """Load module `name` of the app that this process serves in place of ours, if it has one.

    Parameters
    ----------
    name : what is imported, e.g. "client_app".
    file : where ours is.
    """
    apps = get_flwr_home().absolute() / "apps"
    served = [folder for folder in sys.path if Path(folder).parent == apps]
    spec = PathFinder.find_spec(name, served)
    if spec is None or spec.loader is None or spec.origin == file:
        return False
    # What that module imports is its app's too.
    sys.path[:0] = served
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return True
