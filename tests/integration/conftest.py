"""What holds for all tests with processes."""

import signal

# A shell that starts this in the background has the keyboard's signal ignored, and every child would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
