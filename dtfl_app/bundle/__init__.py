"""The folder that a gateway detects with: written after training, read without torch or Flower.

`folder`, `bundle` and `laws` are what a gateway needs; `export` and `card` are the server's.
"""
