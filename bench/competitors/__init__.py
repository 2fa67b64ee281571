"""The servers that people would pick instead, each with the same two answers and its fastest sensible settings.

One worker, no access log, keep-alive without end; `../contenders.py` has the command lines. Applications are kept to
what each framework's own documents would write for an answer that is ready: no routing that the others do not have, no
hook that is not needed. They are started on loopback, on the core that is the server's.
"""
