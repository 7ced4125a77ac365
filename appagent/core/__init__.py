"""Deciding. Pure: no clock, no files, no processes; events go in, commands come out."""
