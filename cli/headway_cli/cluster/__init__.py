"""What the verbs on a cluster find and decide: functions that print nothing, read no terminal and import no pydantic.

They reach the cluster by calling `kubectl`, so whatever a kubeconfig can do (exec plugins, OIDC, proxies) works here,
too. Objects are what the API has said: plain JSON.
"""
