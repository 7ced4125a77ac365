"""Notices become log lines, journal fields and history; status and sd_notify."""
