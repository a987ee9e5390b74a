"""The digital twin: a physics model that makes labelled sensor data at will.

A package that can be used alone: it knows nothing of ``dtfl_app``, of Flower or of torch. The app
stands on it, and speaks its vocabulary of channels, series and errors.

::

    twin = CTownTwin(default_plant())
    data = build_dataset(twin, twin.plan(10, 168, seed=0, families=["attack"]), "cache")
    data.series  # a labelled series, see twin.schema

What others import:

twin.schema, twin.errors    what a channel, a schema and a labelled series are; what is raised
twin.base                   what a twin is: `Twin`, `Scenario`, `Event`
twin.dataset                from a plan of scenarios to a cached data set: `build_dataset`
twin.recorded               a twin that replays what another simulator recorded
twin.epanet                 a twin of any EPANET network: `simulate.EpanetTwin`; its events and laws
twin.ctown                  BATADAL's water plant: channels, default plant, its twin, calibration,
                            physical laws, and comparison with real data
twin.files                  files that are either whole or not there
"""
