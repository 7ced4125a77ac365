"""Telling: facts become log lines, journal fields, history, status and sd_notify."""
