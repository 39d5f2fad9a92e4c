"""The kinds of Headway as pydantic models: the one source of the CRDs, `headway validate` and the reference docs."""

GROUP = "headway.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
