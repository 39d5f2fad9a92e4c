"""Headway for Python programs: `headway.client` does on a cluster what the command `headway` does."""
