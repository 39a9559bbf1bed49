"""Tuning on another machine: the same trainer, in a folder that lies there only while it learns.

Here `place` says where a job learns and `training` has it learn there, over SSH (`connection`); there `python -m
tuning.elsewhere` is at the other end. `frames` is what the two say to each other.
"""
