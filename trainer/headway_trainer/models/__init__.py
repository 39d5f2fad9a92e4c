"""Models: a registry by name, and what a user's own function builds."""

from headway_trainer.models.build import build

__all__ = ["build"]
