"""Checks that a strategy, twin, data set or detector of one's own keeps what the app relies on.

``from dtfl_app.testing.strategies import check_strategy`` in a test of one's own, and so on: each
check says all that it found wrong at once. They play whole runs of the app in the test's process,
without Flower's processes (`grid`).
"""
