"""The digital twin: a physics model that makes labelled sensor data at will.

The twin knows physics and the shared vocabulary of ``twin.schema`` and ``twin.errors``,
nothing of Flower, torch or the sites.
"""
