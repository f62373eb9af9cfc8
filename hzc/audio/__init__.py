"""Audio in and out, block by block: float32 [channel, sample], full scale ±1.

`sources` opens recordings with `riff`, `sndfile` and `av`; `pipes` gives the bytes; `ogg` and
`mpeg` find what is damaged; `level` measures and filters, `levelled` prepares for
the networks; `writers` writes.
"""
