"""The kinds of Headway as pydantic models: the one source of the CRDs, of `headway validate` and of the reference docs."""

GROUP = "headway.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
