"""A proxy, two backends, a web application, a tracker and peers: each a program, all on the same reactor."""
