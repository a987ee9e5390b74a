"""A twin that is an FMU, a model that another tool exported (fmi-standard.org)."""
