"""Logs that outlive pods: what a process prints, in files of bounded size on the job's storage.

It imports nothing that is slow: a pod's main process has it from its first second.
"""
