# make run and make test work from a bare clone with Python 3.11+, pip and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: run test check bench clean

# Ten simulated water plants learn together, once per method.
run: $(STAMP)
	$(BIN)/dtfl run strategy=fedavg,dtml,fpf,lpe,cwa,dtkd cache-dir=.cache results-dir=results

test: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Finished cells are kept in results/bench: stopped, it goes on where it was.
bench: $(STAMP)
	for grid in benchmarks/*.toml; do $(BIN)/dtfl bench $$grid || exit 1; done
	for name in round_cost twin_distance update_norms robust_rules wrong_twins witness_spread privacy \
		cross_validation poisoning liars soak drift detection detectors site_check; do \
		$(BIN)/python -m benchmarks.$$name || exit 1; done

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .cache results .mypy_cache .ruff_cache .pytest_cache
