"""A person at a terminal: lines and commands in plain mode, and the full-screen window."""
