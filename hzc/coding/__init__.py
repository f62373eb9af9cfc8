"""Latents to coded bits and back: quantiser, integer prior, arithmetic coder."""
