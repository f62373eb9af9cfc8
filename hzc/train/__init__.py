"""Training: rate–distortion stage, integer prior, export. Inference never imports it."""
