"""What `headway doctor` looks at: facts are gathered apart from the checks, which are pure."""
