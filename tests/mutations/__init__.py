"""Job files with one mistake each: what nobody may get into the queue as work."""
