"""Checkpoints: what they hold, how they are written and found again, and the last step that is known of."""
