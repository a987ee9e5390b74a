"""Flower's simulation engine on this host, mended: a worker that died or hangs is replaced.

flwr 1.41's engine returns the handle of a dead Ray actor to its pool, where it fails every message
it is given from then on while the run counts as completed; and it ends only when every worker has
answered, so one that hangs keeps a finished run from ending. Ray's own ``max_restarts`` is no way
out: a run's settings cannot set it, and what is sent to an actor while it restarts is lost too. A
fresh actor loses nothing, since messages to it wait until it is up.

- Written for flwr 1.41.0 with ray 2.55.1.
- Changes two names in this process: `raybackend.BasicActorPool` and `vce_api.worker`. It overrides
  `submit` and `fetch_result_and_return_actor_to_pool` of the pool, uses its `_future_to_actor` and
  `create_actor_fn`, and counts on a job's last part being the site's `Context`.
- Breaks when a module, a class or `worker` is renamed: then the app cannot be loaded. Breaks in
  silence, the engine being as it was, when a method is renamed or the engine looks its pool up
  before it loads the ClientApp.
- `tests/engine/test_mend.py` tells of the pool, `tests/system/test_faults.py` of the whole engine.
- Delete it, and its call in `dtfl_app.client.app`, when the second passes without it.

Import this module only where the engine is loaded already: it imports Ray.
"""

from __future__ import annotations

import math
import threading
import time
from queue import Queue
from typing import Any

import ray
from flwr.app import Context, Message
from flwr.compat.client.run_info_store import DeprecatedRunInfoStore
from flwr.server.superlink.fleet.vce import vce_api
from flwr.server.superlink.fleet.vce.backend import Backend, raybackend
from flwr.server.superlink.fleet.vce.metrics import VceMetrics
from flwr.simulation.ray_transport.ray_actor import BasicActorPool

__all__ = ["LastingPool", "WorkerError", "mend_engine"]

# Later than this many round timeouts even a discounted reply is worth little: the worker is
# taken from the site that holds it and given to the others.
_PATIENCE = 3.0
# Between looks at whether a message took too long or the run is over.
_LOOK_SECONDS = 1.0


class WorkerError(Exception):
    """The worker process that served a site is gone; the site gives no reply to this message."""


class LastingPool(BasicActorPool):
    """Flower's pool of workers, in which a worker that died or hangs makes way for a fresh one.

    `over` is the engine's sign that the server has finished: what is still under way is dropped.
    """

    over: threading.Event | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Flower's own
        super().__init__(*args, **kwargs)
        self._limits: dict[object, float] = {}

    def submit(self, actor_fn: Any, job: Any) -> Any:  # noqa: ANN401 - Flower's own
        """Give a message to an idle worker, for a limited time."""
        future = super().submit(actor_fn, job)
        timeout = float(job[-1].run_config.get("round.timeout", math.inf))
        self._limits[future] = time.monotonic() + _PATIENCE * timeout
        return future

    def fetch_result_and_return_actor_to_pool(self, future: Any) -> tuple[Message, Context]:  # noqa: ANN401
        """Wait for a site's reply; raises WorkerError when its worker died or took too long.

        An error of the site itself is raised as it was there, without Ray's words around it.
        """
        limit = self._limits.pop(future)
        hangs = False
        while not hangs and not ray.wait([future], timeout=_LOOK_SECONDS)[0]:
            hangs = self._is_over() or time.monotonic() > limit
        if hangs:
            ray.kill(self._future_to_actor[future])  # type: ignore[arg-type] # a Ray actor
        try:
            return super().fetch_result_and_return_actor_to_pool(future)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            if not self._is_over():
                self._future_to_actor[future] = self.create_actor_fn()  # type: ignore[no-untyped-call]
            what = "hung and was ended" if hangs else f"died ({type(error).__name__})"
            raise WorkerError(f"the worker process that served this site {what}") from error

    def _is_over(self) -> bool:
        return self.over is not None and self.over.is_set()


def mend_engine() -> None:
    """Let the engine in this process build a `LastingPool`, and tell it when the run is over."""
    if vars(raybackend)["BasicActorPool"] is LastingPool:
        return
    serve = vce_api.worker

    def worker(
        messageins_queue: Queue[Message],
        messageres_queue: Queue[Message],
        node_info_store: dict[int, DeprecatedRunInfoStore],
        backend: Backend,
        f_stop: threading.Event,
        metrics: VceMetrics,
    ) -> None:
        vars(backend)["pool"].over = f_stop
        serve(messageins_queue, messageres_queue, node_info_store, backend, f_stop, metrics)

    vars(raybackend)["BasicActorPool"] = LastingPool
    vce_api.worker = worker
