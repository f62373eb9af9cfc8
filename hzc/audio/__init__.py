"""Audio in and out, block by block: float32 [channel, sample], full scale ±1.

The modules are `sources`, `level`, `writers` and `pipes`.
"""
