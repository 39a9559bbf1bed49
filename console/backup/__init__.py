"""Backups: made while Parlance runs, told whole from damaged, and restored into an empty data folder.

A backup never holds the key. Which key it needs is written in it as a mark, from which the key cannot be told.
"""

from console.backup.making import Made, back_up
from console.backup.restoring import Restored, restore
from console.backup.shelf import Shelf, last_shelf

__all__ = ["Made", "Restored", "Shelf", "back_up", "last_shelf", "restore"]
