"""A grid of federated runs through Flower's engine: resumable, stored, told in tables and plots."""
