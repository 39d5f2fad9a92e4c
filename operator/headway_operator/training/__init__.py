"""The kind TrainingJob: its decisions and manifests, how its objects are read, and what is measured of it."""
