"""Any water network that EPANET can simulate, as a twin."""
