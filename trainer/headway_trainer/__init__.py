"""What runs in the Ray pods of a job, and under `headway run`."""
