"""Sizes of the small model that tests make."""

from hzc.model.config import ModelConfig

TINY = ModelConfig(
    name="tiny",
    analysis_widths=(16, 16, 24, 24),
    analysis_blocks=(1, 1, 1, 1),
    synthesis_widths=(24, 24, 24, 24),
    synthesis_blocks=(1, 1, 1, 1),
)
