"""The measurements: what is claimed of speed or memory is shown by a program in this folder."""
