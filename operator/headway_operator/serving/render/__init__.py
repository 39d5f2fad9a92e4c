"""The manifests of a ModelDeployment: pure."""
