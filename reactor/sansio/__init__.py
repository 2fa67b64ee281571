"""Bytes in, events out. This package knows no socket, no clock and no thread."""
