"""Clocks that jump: what waits goes on waiting."""

from __future__ import annotations

from mesh import Disk, Mesh

from peer.clock import SteadyTime

HOUR = 3600.0


def test_steady_time_begins_with_the_clock_and_does_not_follow_its_jumps() -> None:
    clock, passed = [1000.0], [5.0]
    steady = SteadyTime(lambda: clock[0], lambda: passed[0])
    assert steady() == 1000.0
    passed[0] += 10
    assert steady() == 1010.0
    clock[0] += 25 * HOUR
    assert steady() == 1010.0
    clock[0] = 0.0
    passed[0] += 1
    assert steady() == 1011.0


def test_what_was_written_by_a_clock_that_was_ahead_waits_a_day_and_no_longer() -> None:
    mesh = Mesh()
    disk = Disk(mesh.reactor)
    mesh.days = 300.0
    ann = mesh.start("ann", "x", store=disk)
    mesh.start("bob", "x")
    mesh.list_all()
    mesh.link("ann", "bob")
    mesh.kill("bob")
    ann.send("bob", "hi")
    mesh.advance(1)
    mesh.kill("ann")
    mesh.days = 0.0
    ann = mesh.start("ann", "x", store=disk)
    mesh.advance(23 * HOUR)
    assert mesh.ears["ann"].states_of("hi", "bob") == []
    mesh.advance(2 * HOUR)
    assert mesh.ears["ann"].states_of("hi", "bob") == ["failed"]
