"""Rows in the order of time, and the windows of them that a forecast is learnt from. Pure, but for `write`."""
