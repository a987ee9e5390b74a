"""The C-Town water distribution plant of the BATADAL benchmark, simulated with EPANET."""
