"""What is typed on its way to an instance, and the keys that leave."""

import pytest

from procman.cli.attach.input_queue import AHEAD, AT_ONCE, DetachKeys, Typed


class Sent(list):
    """Every request, as it was sent."""


@pytest.fixture
def sent():
    return Sent()


@pytest.fixture
def typed(sent):
    return Typed(sent.append)


def test_what_comes_while_a_request_is_not_answered_goes_into_the_next(typed, sent):
    for data in (b"a", b"b", b"c"):
        assert typed.add(data)
    assert sent == [b"a"]
    typed.taken(1)
    assert sent == [b"a", b"bc"]
    assert not typed.empty
    typed.taken(2)
    assert typed.empty
    assert len(sent) == 2


def test_what_was_not_taken_is_sent_again_before_what_came_after_it(typed, sent):
    typed.add(b"abcdef")
    typed.add(b"g")
    typed.taken(2)
    typed.add(b"h")
    assert sent == [b"abcdef"]  # there is no room
    typed.may_go_on()
    assert sent == [b"abcdef", b"cdefgh"]


def test_a_word_of_room_that_comes_before_the_answer_sends_nothing_twice(typed, sent):
    typed.add(b"abc")
    typed.may_go_on()
    typed.taken(1)
    typed.may_go_on()
    typed.taken(2)
    assert sent == [b"abc", b"bc"]
    assert typed.empty


def test_much_goes_in_several_requests(typed, sent):
    data = bytes(range(256)) * (2 * AT_ONCE // 256) + b"end"
    assert typed.add(data)
    while not typed.empty:
        typed.taken(len(sent[-1]))
    assert [len(request) for request in sent] == [AT_ONCE, AT_ONCE, 3]
    assert b"".join(sent) == data


def test_what_is_too_much_is_lost_and_told(typed, sent):
    assert typed.add(b"x" * AHEAD)
    assert not typed.add(b"lost")
    assert typed.room == 0
    typed.taken(AT_ONCE)
    assert typed.add(b"y" * AT_ONCE)


def test_after_a_refusal_nothing_waits(typed, sent):
    typed.add(b"abc")
    typed.add(b"def")
    typed.refused()
    assert typed.empty
    typed.may_go_on()
    typed.add(b"g")
    assert sent == [b"abc", b"g"]


# ---- keys


@pytest.mark.parametrize(
    ("words", "data", "passed"),
    [
        ("ctrl-]", b"abc\x1dxyz", b"abc"),
        ("Ctrl-]", b"\x1b[93;5u", b""),  # kitty's protocol
        ("ctrl-]", b"a\x1b[27;5;93~", b"a"),  # modifyOtherKeys
        ("ctrl-@", b"a\x00", b"a"),
        ("q", b"aq", b"a"),
        ("ctrl-p,ctrl-q", b"a\x10\x11b", b"a"),
        ("ctrl-p,ctrl-q", b"\x10x\x10\x10\x11", b"\x10x\x10"),
        ("ctrl-a,d", b"\x01\x01d", b"\x01"),
        ("~,.", b"~.", b""),
    ],
)
def test_keys_that_leave(words, data, passed):
    assert DetachKeys(words).feed(data) == (passed, True)
    keys, found, left = DetachKeys(words), b"", False
    for n in range(len(data) if b"\x1b" not in data else 0):  # one at a time, but for sequences, which come at once
        if not left:
            part, left = keys.feed(data[n : n + 1])
            found += part
    assert found == passed or b"\x1b" in data


@pytest.mark.parametrize("words", ["ctrl-]", "ctrl-p,ctrl-q", "~,."])
def test_every_other_key_passes(words):
    data = bytes(set(range(256)) - {0x1D, 0x10, ord("~")}) + b"\x1b[A\x1bOP\x1b[<0;1;1M\xc3\xa9\n\r"
    assert DetachKeys(words).feed(data) == (data, False)


def test_a_beginning_that_leads_nowhere_passes_with_what_follows_it():
    keys = DetachKeys("ctrl-p,ctrl-q")
    assert keys.feed(b"\x10") == (b"", False)
    assert keys.feed(b"a") == (b"\x10a", False)


@pytest.mark.parametrize("words", ["", "f1", "ctrl-", "ctrl-1", "ctrl-p,", "é", "\x1d", "alt-x", "ctrl-pq"])
def test_what_is_no_key(words):
    with pytest.raises(ValueError, match="is not a key, such as"):
        DetachKeys(words)


def test_keys_are_named_as_a_person_reads_them():
    assert DetachKeys("ctrl-p,q").words == "Ctrl-p then q"
