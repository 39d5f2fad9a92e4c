"""The engine: what every kind needs to be reconciled, and nothing that is about one kind."""
