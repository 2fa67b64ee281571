"""From `make run` to "the others in the room can join": `python -m share`, or `make share`.

    questions.py    what is asked: on the terminal, or by options and the environment
    accounts.py     the password in place of the demo one
    settings.py     share.ini: the config of the server, changed to what was answered
    ports.py        ports that are free
    invitation.py   what the others are told: addresses, a QR code, the firewall
    __main__.py     ask, change, invite, serve, in this order

Everything is asked before anything is changed. What is known is not asked again: the answers are in share.ini, which
is written once and belongs to its owner from then on, and the password is in the accounts.
"""
