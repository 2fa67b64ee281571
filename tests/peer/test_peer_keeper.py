"""What is said of a disk that takes nothing any more: one line when it begins, one when it is over."""

from __future__ import annotations

from mesh import Disk, Mesh, Raw

from peer.delivery.keeper import CALM_SECONDS
from reactor.errors import ReactorError

FULL = "the history cannot be written: the disk is full"


def test_a_full_disk_is_one_line_however_many_messages_it_costs_and_its_end_another() -> None:
    mesh = Mesh()
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", store=disk)
    mesh.start("bob")
    mesh.link("ann", "bob")
    troubles = mesh.ears["ann"].troubles
    disk.error = ReactorError(FULL)
    letters = [ann.send("bob", f"lost {number}") for number in range(5)]
    mesh.advance(1)
    assert all(letter.states["bob"].value == "failed" for letter in letters)
    assert troubles == [FULL]
    disk.error = None
    mesh.advance(CALM_SECONDS)
    ann.send("bob", "again")
    mesh.advance(5)
    assert troubles[0] == FULL and "kept again" in troubles[1] and "5 times" in troubles[1] and len(troubles) == 2
    disk.error = ReactorError(FULL)
    ann.send("bob", "and again")
    mesh.advance(1)
    assert troubles[2:] == [FULL]


def test_what_works_now_and_then_is_not_over() -> None:
    mesh = Mesh()
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", store=disk)
    mesh.start("bob")
    mesh.link("ann", "bob")
    for number in range(20):
        disk.error = ReactorError(FULL) if number % 2 else None
        ann.send("bob", "hi")
        mesh.advance(1)
    assert mesh.ears["ann"].troubles == [FULL]


def test_messages_that_come_and_cannot_be_kept_are_one_line_too() -> None:
    mesh = Mesh()
    disk = Disk(mesh.reactor)
    ann = mesh.start("ann", store=disk)
    disk.error = ReactorError(FULL)
    for number in range(5):
        raw = Raw(mesh, ann, f"raw{number}")
        raw.greet()
        raw.send("hi")
        mesh.advance(1)
    assert mesh.ears["ann"].troubles == [FULL] and not mesh.ears["ann"].texts
