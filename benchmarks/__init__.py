"""Grids for `dtfl bench`, scripts that measure the twin, and what they measured."""
