"""What the operating system is asked, once each: processes, files, mounts, units, the boot."""
