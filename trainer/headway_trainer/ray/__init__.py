"""Ray's processes, and Ray Train's plumbing: nothing else of the trainer imports ray.

It imports nothing by itself: what a process needs of Ray, and when, is a matter of seconds at its start.
"""
