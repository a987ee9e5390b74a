"""The pool of simulation workers, with real Ray actors; the whole engine is in `tests/system`."""

import os
import subprocess
import sys
import threading
import time

import pytest
import ray
from flwr.app import Context, RecordDict

from dtfl_app.engine.mend import LastingPool, WorkerError


class Worker:
    """An actor that does what the message says."""

    def run(self, app_fn: object, message: str, cid: str, context: Context) -> tuple[object, ...]:
        if message == "die":
            os._exit(3)
        if message == "hang":
            time.sleep(600)
        if message == "fail":
            raise ValueError("bad rows")
        return cid, f"{message} is done by {os.getpid()}", context


@pytest.fixture(scope="module")
def engine():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def pool(engine) -> LastingPool:
    """One worker."""
    pool = LastingPool(ray.remote(Worker), {"num_cpus": 1}, {})
    pool.add_actors_to_pool(1)
    return pool


def ask(pool: LastingPool, message: str, timeout: float = 600.0) -> str:
    """Let the pool answer one message, as the engine does."""
    context = Context(1, 1, {}, RecordDict(), {"round.timeout": timeout})
    job = (None, message, "0", context)
    future = pool.submit(lambda actor, *given: actor.run.remote(*given), job)
    try:
        return pool.fetch_result_and_return_actor_to_pool(future)[0]
    except Exception:
        pool.add_actor_back_to_pool(future)
        raise


def test_a_worker_that_dies_fails_its_message_and_a_fresh_one_takes_the_next(pool):
    first = ask(pool, "one")

    with pytest.raises(WorkerError, match="this site died"):
        ask(pool, "die")

    assert ask(pool, "two") != first.replace("one", "two")
    assert pool.is_actor_available()


def test_a_worker_that_takes_three_round_timeouts_is_ended(pool):
    with pytest.raises(WorkerError, match="this site hung and was ended"):
        ask(pool, "hang", timeout=0.5)

    assert ask(pool, "next").startswith("next is done")


def test_a_worker_survives_an_error_of_the_site(pool):
    before = ask(pool, "one")

    with pytest.raises(ValueError, match="bad rows"):
        ask(pool, "fail")

    assert ask(pool, "one") == before


def test_what_is_under_way_is_dropped_when_the_run_is_over(pool):
    """The engine sets `over` when the server has finished; then no worker is replaced any more."""
    pool.over = threading.Event()
    pool.over.set()

    with pytest.raises(WorkerError, match="hung and was ended"):
        ask(pool, "hang")


@pytest.mark.parametrize(("engine_first", "loaded"), [(False, False), (True, True)])
def test_only_where_the_engine_runs_is_it_mended(engine_first, loaded):
    """A gateway's process loads neither the engine nor Ray."""
    code = "import sys\n" + "import flwr.simulation\n" * engine_first
    code += "import dtfl_app.client.app\n"
    code += "print('dtfl_app.engine.mend' in sys.modules, 'ray' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [str(loaded), str(loaded)]
