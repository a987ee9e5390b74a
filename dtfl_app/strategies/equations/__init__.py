"""The update equations of the paper's methods, and their settings: one file per method.

Pure functions on mappings of arrays, which know neither what trains on the twin's data nor who
sends replies. Our own strategies call them, and so do those of `dtfl_app.flower`.
"""
