"""What must be true of messages, whatever the network did: an oracle that hears all that people are shown and told.

A message is known by its text, which is unique, and never by its id: the ids are part of what is tested.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from disk import Disk

from peer.delivery.letters import DELIVERED, FAILED, State
from peer.storage.store import Entry


@dataclass
class Message:
    """`disks` are those that the author and each recipient had when it was written."""

    number: int  # in the order of writing, of all
    text: str
    author: str
    disk: Disk
    disks: dict[str, Disk]
    told: dict[str, tuple[State, str]] = field(default_factory=dict)
    is_void: bool = False  # its author crashed before it was safe: nobody has it


class Oracle:
    """`wrong` has in words what should not have happened. People are meant by the names of their hosts."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.messages: dict[str, Message] = {}
        self.arrived: defaultdict[tuple[str, str], list[int]] = defaultdict(list)  # (text, recipient) -> disks
        self.shown: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self.unseen: set[tuple[str, str]] = set()  # safe, and its reader's program ended before it was shown
        self.refused_for_flood: list[str] = []
        self._last: dict[tuple[int, int], int] = {}  # (author's disk, recipient's disk) -> the last number shown
        self._settled: set[tuple[str, str, int]] = set()

    # -- what happens ------------------------------------------------------------------------------------------------

    def written(self, text: str, author: str, disk: Disk, recipients: dict[str, Disk]) -> Message:
        message = Message(len(self.messages), text, author, disk, recipients)
        self.messages[text] = message
        return message

    def show(self, name: str, disk: Disk, author: str, entry: Entry) -> None:
        """`name` is shown a message that claims to be by `author`."""
        message = self.messages.get(entry.text)
        if message is None or message.author != author or name not in message.disks:
            self.wrong.append(f"{name} is shown {entry.text!r} by {author}, which was not written to it")
            return
        shown = self.shown[entry.text, name]
        if disk.number in shown:
            self.wrong.append(f"{name} is shown {entry.text!r} twice")
        if entry.text not in disk.texts:
            self.wrong.append(f"{name} is shown {entry.text!r} before it is safe")
        if message.is_void:
            self.wrong.append(f"{name} is shown {entry.text!r}, whose number its author may give to another one")
        if disk.number not in shown and self._last.get((message.disk.number, disk.number), -1) > message.number:
            self.wrong.append(f"{name} is shown {entry.text!r} behind a later one of {author}")
        self._last[message.disk.number, disk.number] = message.number
        shown.append(disk.number)

    def tell(self, author: str, run: int, text: str, name: str, state: State, reason: str) -> None:
        """`author`, in its run of this number, is told what became of its message to `name`."""
        message = self.messages[text]
        message.told[name] = state, reason
        if state in (DELIVERED, FAILED):
            if (text, name, run) in self._settled:
                self.wrong.append(f"{author} is told twice what became of {text!r} to {name}")
            self._settled.add((text, name, run))
        elif (text, name, run) in self._settled:
            self.wrong.append(f"{author} is told {state.value} of {text!r} to {name}, which was settled")
        if state is DELIVERED and not self._has(text, name, message.disks[name]):
            self.wrong.append(f"{author} is told that {text!r} was delivered to {name}, which does not have it")
        if "flood" in reason:
            self.refused_for_flood.append(f"{text!r} to {name}")

    def _has(self, text: str, name: str, disk: Disk) -> bool:
        return text in disk.texts or bool(self.shown[text, name]) or (text, name) in self.unseen

    def ended(self, name: str, disk: Disk) -> None:
        """A program is over. What it wrote and is not on the disk now never left."""
        for message in self.messages.values():
            if message.author == name:
                message.is_void |= message.disk is disk and message.text not in disk.texts
            elif message.text in disk.texts and not self.shown[message.text, name]:
                self.unseen.add((message.text, name))

    # -- at the end --------------------------------------------------------------------------------------------------

    def judge(self, disks: dict[str, Disk], pairs: set[tuple[str, str]]) -> list[str]:
        """What is wrong with the messages between these (author, recipient), if both have the disk that they had when
        it was written.
        """
        found = []
        for message in self.messages.values():
            if message.disk is disks[message.author]:
                for name, disk in message.disks.items():
                    if disk is disks[name] and (message.author, name) in pairs:
                        found += self._judge(message, name, disk)
        return found

    def _judge(self, message: Message, name: str, disk: Disk) -> list[str]:
        state, reason = message.told.get(name, (None, ""))
        arrived = message.text in disk.texts
        was_seen = disk.number in self.shown[message.text, name] or (message.text, name) in self.unseen
        what = f"{message.text!r} to {name}"
        if message.is_void:
            return [f"{what} is there, and was never safe"] if arrived else []
        if state is DELIVERED:
            return [] if arrived and was_seen else [f"{what} is said to be delivered and is not there"]
        if state is FAILED:
            never = reason.startswith(("refused", "it could not be kept", "too many"))
            return [f"{what} is said to have failed ({reason}) and is there"] if arrived and never else []
        return [f"{what} is neither delivered nor failed, but {state.value if state else 'queued'}"]
