"""Measurements of speed and reach, each one command; see README.md beside this."""
