"""The command line of a peer: what cannot be is said before anything is opened."""

from __future__ import annotations

import pytest

from peer.__main__ import parse


@pytest.mark.parametrize(
    "given",
    ["--burst 0", "--burst x", "--burst 1.5", "--rate -1", "--rate nan", "--rate inf", "--rate x", "--max-links 0"],
)
def test_a_limit_that_would_stop_all_messages_is_no_limit(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    option, number = given.split()
    with pytest.raises(SystemExit) as ended:
        parse(["9101", f"{option}={number}"])
    assert ended.value.code == 2
    assert f"argument {option}: {number} is no number from " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--listen", "--advertise"])
@pytest.mark.parametrize("given", ["localhost", "192.168.1", "192.168.1.3:9101", "[::1]", "x", "fe80::1%eth0", ""])
def test_an_address_is_an_ip_address(option: str, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["9101", f"{option}={given}"])
    assert ended.value.code == 2
    assert f"argument {option}: {given} is no IP address, such as " in capsys.readouterr().err


@pytest.mark.parametrize("given", ["0.0.0.0", "::", "224.0.0.1"])
def test_what_is_advertised_can_be_dialled(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["9101", "--advertise", given])
    assert f"argument --advertise: {given} is no address that others can dial" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["127.0.0.1", "192.168.1.3", "::1", "fd00::3"])
def test_an_ip_address_is_taken_as_it_is(given: str) -> None:
    parsed = parse(["9101", "--listen", given, "--advertise", given])
    assert (parsed.listen, parsed.advertise) == (given, given)
    assert parse(["9101", "--listen", "0.0.0.0"]).listen == "0.0.0.0"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--http", "0.0.0.0:9301"], "argument --http: others could reach 0.0.0.0:9301: give 127.0.0.1:9301"),
        (["--password-file", "x"], "argument --password-file: whose password is it? Give --user NAME, too"),
        (["--tracker", "127.0.0.1", "--no-tracker"], "argument --no-tracker: not allowed with argument --tracker"),
        (["--tracker", "127.0.0.1:0"], "argument --tracker: nobody listens at 127.0.0.1:0: a port is 1 to 65535"),
        (["--data", ""], "argument --data: an empty name is no directory"),
        (["--id", ""], "argument --id: give 1 to 64 printable characters"),
        (["--name", "a\nb"], "argument --name: give 1 to 64 printable characters"),
    ],
)
def test_what_makes_no_sense_is_a_mistake_on_the_command_line(
    given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["9101", *given])
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: {words}\n")


def test_limits_are_taken_as_they_are_given() -> None:
    given = parse(["9101", "--burst", "10", "--rate", "0", "--max-links", "1000"])
    assert (given.burst, given.rate, given.max_links) == (10, 0.0, 1000)
