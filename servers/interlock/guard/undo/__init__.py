"""What is needed to put a change back: that it was made (`changes`), what was before (`snapshots`), who undoes it.
Capturing and restoring is each server's own work.
"""
