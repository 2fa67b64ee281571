"""The proxy beside others, before the same server: nginx and HAProxy from Debian, and what there is in Python.

contenders   their configs and commands       streams   a server that holds what it has begun to answer
measure      who runs on which core, and when results, report   what is stored, and the tables of it
"""
