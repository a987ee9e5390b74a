"""The digital twin: a physics model that makes labelled sensor data at will.

The twin knows physics and the shared vocabulary of ``dtfl_app.schema`` and ``dtfl_app.errors``,
nothing of Flower, torch or the sites.
"""
