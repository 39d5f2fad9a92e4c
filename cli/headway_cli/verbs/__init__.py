"""The subcommands that work on a cluster: options, and what is printed. What they find is `headway_cli.cluster`'s."""
