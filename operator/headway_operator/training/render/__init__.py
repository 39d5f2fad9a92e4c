"""The manifests of a job's objects, pure: dicts as the API server takes them."""
