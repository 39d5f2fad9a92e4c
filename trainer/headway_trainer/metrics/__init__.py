"""Metrics: sums and rows that are taken in batch by batch, put together over the ranks once, and read by name."""

from headway_trainer.metrics.base import Accumulator, Metric, Metrics, Ranks

__all__ = ["Accumulator", "Metric", "Metrics", "Ranks"]
