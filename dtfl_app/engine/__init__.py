"""Starting Flower: a private SuperLink, simulations that outlive their workers, a warm start.

Knows processes and Flower's own commands, nothing of methods, sites or models.
"""
