"""Measure edits and generated faces: one program makes the edits, readers in separate roles measure them.

edits.py makes them, readers.py says who may read them, metrics.py measures pixels by masks; crops.py, finished.py and
photos.py are the tables, report.py and tables.py write them down, grid.py lays edits out to be looked at.
"""
