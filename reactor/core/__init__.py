"""Sockets, time and tasks. This package knows no protocol."""
