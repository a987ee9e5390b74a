"""Judging models at the server: the evaluation set, groups of events, baselines, stored models."""
