"""Words to people outside of the cluster: a webhook for each namespace, which the administrator sets."""
