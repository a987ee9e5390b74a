"""Any water network that EPANET can simulate, as a twin: ``simulate.EpanetTwin``.

network, controls, clock, units, zones    what a network file says, in m and L/s
options, plant, laws, derived             the plant it stands for: channels, assets, laws
scenario_file, hydraulics, run, scenario  one scenario on EPANET
effects, attacks, faults, switching       events, and how they act beside EPANET's own controls

``twin.ctown`` stands on this room; nothing here knows of it.
"""
