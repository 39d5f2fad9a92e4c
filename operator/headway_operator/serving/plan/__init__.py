"""What should happen to a ModelDeployment: pure."""
