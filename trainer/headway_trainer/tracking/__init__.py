"""Who is told of a run's course: what happens is recorded in the run's folder, and trackers follow that record.

docs/decisions/0118 says why.
"""
