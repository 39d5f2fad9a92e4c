"""The kind ModelDeployment: finished models at work."""
