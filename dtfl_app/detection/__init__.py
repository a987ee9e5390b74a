"""Detection at the site: a trained detector scores readings as they come, without torch or Flower.

Knows numpy and onnxruntime, pandas only to read Parquet; nothing of torch, Flower or EPANET.
"""
