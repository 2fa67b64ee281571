"""The page's modules in a browser, one by one: links, order, what counts as unread, what is kept.

They are loaded from the running server, under the Content-Security-Policy of the page. The page itself stands at its
login; nobody has to be there for these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chromium import MILLISECONDS, chromium
from playwright.sync_api import Browser, Page, expect
from server import Server, write_config


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(write_config(tmp_path_factory.mktemp("page") / "config.ini", {"chat": "# as it is"})) as server:
        yield server


@pytest.fixture(scope="module")
def page(browser: Browser, site: Server) -> Iterator[Page]:
    """A reader in Berlin who has the browser in English."""
    context = browser.new_context(timezone_id="Europe/Berlin", locale="en-GB")
    context.set_default_timeout(MILLISECONDS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site.url + "/chat/")
    expect(page.get_by_role("heading")).to_have_text("Log in to chat")
    yield page
    assert errors == []
    context.close()


def run(page: Page, code: str, argument: object = None) -> Any:
    """What `code` returns, an async function's body with `argument` and `load(name)` for a module of the page."""
    load = "const load = (name) => import(`/chat/${name}.js`);"
    return page.evaluate(f"async (argument) => {{ {load} {code} }}", argument)


# -- links -----------------------------------------------------------------------------------------------------------

LONG = "http://a.example/" + "x" * 1900
LINKS = {
    "http://a.example": ["http://a.example"],
    "see http://a.example/b.": ["http://a.example/b"],
    "(see http://a.example/b)": ["http://a.example/b"],
    "http://a.example/b_(c)": ["http://a.example/b_(c)"],
    "(http://a.example/b_(c)).": ["http://a.example/b_(c)"],
    "[http://a.example/[x]]": ["http://a.example/[x]"],
    "“http://a.example/b”, then": ["http://a.example/b"],
    "<http://a.example/b>": ["http://a.example/b"],
    "http://a.example/?q=1&r=2#f!": ["http://a.example/?q=1&r=2#f"],
    "http://a.example/...!?": ["http://a.example/"],
    "HTTPS://A.EXAMPLE/B": ["HTTPS://A.EXAMPLE/B"],
    "http://[::1]:8000/x": ["http://[::1]:8000/x"],
    "http://192.168.1.3:8000,http://b.example": ["http://b.example"],
    "http://a.example\nhttp://b.example": ["http://a.example", "http://b.example"],
    "http://bücher.example/ü": ["http://bücher.example/ü"],
    "см. http://пример.example/путь, да": ["http://пример.example/путь"],
    "見て http://a.example/日本。": ["http://a.example/日本"],
    "http://a.example/👍": ["http://a.example/👍"],
    LONG: [LONG],
    # no links
    "javascript:alert(1)": [],
    "JaVaScRiPt://http//a%0aalert(1)": [],
    "data:text/html,<script>alert(1)</script>": [],
    "vbscript:x file:///etc/passwd ftp://a.example blob:http:x": [],
    "www.a.example a.example/b mailto:a@b.example": [],
    "http:// https://": [],
    "http:///": [],
    "http://.": [],
    "xhttp://a.example": [],
    "http://bank.example@evil.example/": [],
    "http://user:secret@a.example/": [],
    "http://a.example:99999/": [],
    LONG + "x" * 200: [],
    # what turns or hides text ends an address
    "http://a.example/\u202egpj.exe": ["http://a.example/"],
    "http://a.example\u2066/x": ["http://a.example"],
    "http://a\u200b.example": ["http://a"],
    "http://a.example\u0000/b": ["http://a.example"],
    'http://a.example/"onmouseover="alert(1)': ["http://a.example/"],
}  # fmt: skip


def test_only_addresses_become_links_and_the_text_stays_whole(page: Page) -> None:
    code = "const { linked } = await load('links'); return argument.map((text) => linked(text));"
    for text, pieces in zip(LINKS, run(page, code, list(LINKS)), strict=True):
        assert [piece["text"] for piece in pieces if "href" in piece] == LINKS[text], text
        assert "".join(piece["text"] for piece in pieces) == text
        assert all(piece["href"].startswith(("http://", "https://")) for piece in pieces if "href" in piece)


def test_a_link_shows_in_its_address_where_it_really_goes(page: Page) -> None:
    code = "const { linked } = await load('links'); return linked('http://bücher.example/').at(0).href;"
    assert run(page, code) == "http://xn--bcher-kva.example/"


def test_a_long_text_of_addresses_takes_no_time(page: Page) -> None:
    code = """const { linked } = await load('links');
        const texts = ['http://' + '('.repeat(3990), 'http://a/' + ')'.repeat(3990), 'http://'.repeat(570),
                       'https://a.b/. '.repeat(300)];
        const start = performance.now(); texts.forEach(linked); return performance.now() - start;"""
    assert run(page, code) < 500


def test_a_message_of_markup_is_text_and_its_link_is_safe(page: Page) -> None:
    code = """const { messageRow } = await load('message');
        const person = { id: 'd8f75433', name: '<img src=x onerror=alert(1)>\u202e', guest: true };
        const shown = { key: 'm1', mine: false, person, at: new Date(), text: argument, isFirst: true };
        const row = messageRow(shown, { isAmbiguous: () => true }, {});
        const link = row.querySelector('a');
        const text = row.querySelector('.text');
        return { text: text.textContent, dir: text.dir, tags: [...row.querySelectorAll('*')].map((e) => e.localName),
                 name: row.querySelector('bdi').textContent, rel: link.rel, target: link.target, href: link.href };"""
    text = "<script>alert(1)</script><b>x</b> http://a.example/x<img>"
    row = run(page, code, text)
    assert row["text"] == text
    assert set(row["tags"]) <= {"li", "div", "span", "p", "bdi", "a", "time"}
    assert (row["rel"], row["target"], row["href"]) == ("noopener noreferrer", "_blank", "http://a.example/x")
    assert (row["name"], row["dir"]) == ("<img src=x onerror=alert(1)>", "auto")


# -- order, and what is held -------------------------------------------------------------------------------------------

MESSAGES = """
    const message = (number, more = {}) => ({ number, id: `m${number}`, to: '#a', from: 'b', name: 'Bob', text: 'x',
        at: '2026-11-23T00:00:00Z', order: [number, 'b', 0], mine: false, ...more });
    const many = (first, last, more = () => ({})) =>
        [...Array(last - first + 1).keys()].map((n) => message(first + n, more(first + n)));
    const ids = (timeline) => timeline.messages.map(({ id }) => id);
"""


def test_messages_stand_in_the_order_that_all_see_and_not_as_they_came(page: Page) -> None:
    code = MESSAGES + """const { Timeline } = await load('timeline');
        const orders = [[2, 'b', 1], [10, 'a', 1], [2, 'a', 2], [2, 'a', 10], [1, 'z', 1], [2, 'B', 1]];
        const timeline = new Timeline();
        orders.forEach((order, i) => timeline.put(message(i, { order })));
        return [timeline.messages.map(({ order }) => order), timeline.put(message(3)), timeline.messages.length];"""
    orders, is_new, count = run(page, code)
    assert orders == [[1, "z", 1], [2, "B", 1], [2, "a", 2], [2, "a", 10], [2, "b", 1], [10, "a", 1]]
    assert (is_new, count) == (False, 6)


def test_the_first_words_of_a_newcomer_do_not_stand_above_what_was_said_long_before(page: Page) -> None:
    """Who has heard nothing counts from one. What was only late on its way stands where it belongs all the same."""
    code = MESSAGES + """const { Timeline } = await load('timeline');
        const timeline = new Timeline();
        const at = (minute) => `2026-11-23T00:${minute}:00Z`;
        [10, 20, 30].forEach((minute, i) => timeline.put(message(40 + i, { at: at(minute) })));
        timeline.put(message(43, { at: at(31), order: [1, 'new', 1] }));
        timeline.put(message(44, { at: at(15), order: [40, 'late', 1] }));
        timeline.put(message(45, { at: 'no time', order: [41, 'c', 1] }));
        return ids(timeline);"""
    assert run(page, code) == ["m40", "m44", "m41", "m45", "m42", "m43"]


def test_what_falls_out_at_the_old_end_is_asked_for_again(page: Page) -> None:
    """A late message stands far up under a high number; the mark is behind it."""
    code = MESSAGES + """const { Timeline, MOST_IDLE } = await load('timeline');
        const timeline = new Timeline();
        timeline.restart([message(1), message(2)], false, 3);
        timeline.put(message(9, { order: [0, 'b', 0] }));
        for (let n = 10; n < 270; n += 1) timeline.put(message(n));
        timeline.trim(MOST_IDLE);
        const after = [timeline.messages.length, timeline.before, timeline.more];
        timeline.putOlder([message(1), message(2), message(9, { order: [0, 'b', 0] }), ...many(10, 69)], false);
        return [after, ids(timeline).length, ids(timeline).slice(0, 4), timeline.more, timeline.before];"""
    after, count, first, more, before = run(page, code)
    assert after == [200, 73 - 3, True]
    assert (count, first, more, before) == (263, ["m9", "m1", "m2", "m10"], False, 1)


def test_far_back_the_new_end_goes_and_comes_again(page: Page) -> None:
    code = MESSAGES + """const { Conversation } = await load('conversation');
        const one = new Conversation({ id: '#a', title: 'a', last: 2000 });
        one.isFollowed = false;
        one.timeline.restart(many(1951, 2000), true, 2001);
        for (let low = 1901; low > 900; low -= 50) one.timeline.putOlder(many(low, low + 49), true);
        const cut = [one.timeline.isCut, one.timeline.messages.length, one.timeline.messages.at(-1).number];
        const isNew = one.receive(message(2001));
        return [cut, isNew, one.unread, one.last, one.timeline.messages.at(-1).number];"""
    cut, is_new, unread, last, newest = run(page, code)
    assert cut == [True, 1000, 1900]
    assert (is_new, unread, last, newest) == (True, 1, 2001, 1900)


# -- unread ------------------------------------------------------------------------------------------------------------


def test_unread_is_the_servers_count_and_what_came_since(page: Page) -> None:
    code = MESSAGES + """const { Conversation } = await load('conversation');
        const one = new Conversation({ id: '#a', title: 'a', unread: 3, read: 7, last: 10 });
        const steps = [];
        const step = (act) => { act(); steps.push(one.unread); };
        step(() => {});
        step(() => one.receive(message(10)));                   // it was in the server's count
        step(() => one.receive(message(11)));
        step(() => one.receive(message(11)));                   // twice is once
        step(() => one.receive(message(12, { mine: true })));
        step(() => one.receive(message(13, { order: [0, 'b', 0] })));  // late is new, wherever it stands
        step(() => one.readUpTo(11));
        step(() => one.readUpTo(5));                            // read marks do not go back
        step(() => one.update({ id: '#a', title: 'a', unread: 9, read: 7, last: 13 }));  // said before it knew
        step(() => one.update({ id: '#a', title: 'a', unread: 4, read: 11, last: 17 }));
        step(() => one.readUpTo(17));
        return steps;"""
    assert run(page, code) == [3, 3, 4, 4, 4, 5, 1, 1, 1, 4, 0]


STORE = MESSAGES + """
    const { Store } = await load('store');
    const told = (more) => ({ type: 'welcome', v: 1, run: 'r', me: { id: 'me', name: 'Ann' }, full: true,
        conversations: [], people: [], messages: [], states: [], ...more });
    const channel = (more) => ({ id: '#a', title: 'a', policy: 'open', owner: false, members: ['me', 'b'],
        unread: 0, read: 0, last: 0, ...more });
"""


def test_after_a_break_the_page_asks_from_its_last_message_on_and_counts_nothing_twice(page: Page) -> None:
    code = STORE + """const store = new Store();
        const arrived = [];
        store.arrivals.push(({ id }) => arrived.push(id));
        const first = store.resume();
        const mine = message(2, { mine: true, state: { id: 'm2', state: 'sent', delivered: 0, of: 1 } });
        store.apply(told({ conversations: [channel({ last: 2, read: 2 })], messages: [message(1), mine] }));
        store.apply({ type: 'message', message: message(3) });
        const resume = store.resume();
        const state = { id: 'm2', state: 'delivered', delivered: 1, of: 1, reasons: [] };
        const behind = channel({ last: 5, read: 2, unread: 3 });
        store.apply(told({ full: false, conversations: [behind], messages: many(3, 5), states: [state] }));
        const { timeline, unread } = store.conversations.get('#a');
        return [first, resume, ids(timeline), unread, arrived, store.resume(), timeline.byId.get('m2').state.state];"""
    first, resume, ids, unread, arrived, after, state = run(page, code)
    assert first == {}
    assert resume == {"run": "r", "since": 3, "pending": ["m2"]}
    assert (ids, unread, arrived) == (["m1", "m2", "m3", "m4", "m5"], 3, ["m3"])
    assert (after["since"], after["pending"], state) == (5, [], "delivered")


def test_a_server_that_begins_anew_or_another_person_leaves_nothing_behind(page: Page) -> None:
    code = STORE + """const store = new Store();
        const welcome = told({ conversations: [channel({ last: 1 })], messages: [message(1)] });
        store.apply(welcome);
        store.apply(told({ run: 's', conversations: [channel({ id: '#b' })] }));
        const anew = [[...store.conversations.keys()], store.since];
        store.apply(welcome);
        store.apply(told({ full: false, me: { id: 'other', name: 'Eve' } }));
        return [anew, [...store.conversations.keys()]];"""
    assert run(page, code) == [[["#b"], 0], []]


def test_a_message_of_a_later_version_is_let_be(page: Page) -> None:
    code = STORE + """const store = new Store();
        return ['new', 'toString', '__proto__'].map((type) => store.apply({ type }));"""
    assert run(page, code) == [False, False, False]


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_what_was_not_taken_is_kept_for_its_owner_alone_and_sent_under_the_same_key(page: Page) -> None:
    code = """const { Outbox } = await load('outbox');
        const box = new Outbox('ann');
        const keys = ['one', 'two', 'three', 'four'].map((text) => box.add('#a', text).key);
        box.taken(keys[0]); box.refused(keys[1], 'too fast'); box.remove(keys[2]);
        const again = new Outbox('ann');
        const kept = again.entries.map(({ text, state, key }) => [text, state, keys.indexOf(key)]);
        again.again(keys[1]);
        const waiting = again.waiting().map(({ text }) => text);
        const result = [kept, waiting, new Outbox('eve').entries, new Set(keys).size, keys[0].length];
        again.clear();
        return [...result, new Outbox('ann').entries];"""
    kept, waiting, others, different, length, cleared = run(page, code)
    assert kept == [["two", "refused", 1], ["four", "waiting", 3]]
    assert waiting == ["two", "four"]
    assert (others, different, length, cleared) == ([], 4, 32, [])


def test_storage_that_throws_is_replaced_by_memory(page: Page) -> None:
    code = """const { ofTab } = await load('storage');
        const shelf = new ofTab.constructor(() => { throw new DOMException('no', 'SecurityError'); });
        shelf.set('a', { b: 1 });
        const held = shelf.get('a');
        shelf.remove('a');
        return [held, shelf.get('a'), shelf.get('none')];"""
    assert run(page, code) == [{"b": 1}, None, None]


# -- words -------------------------------------------------------------------------------------------------------------

STATES = [
    (None, "Waiting"),
    ({"state": "queued", "delivered": 0, "of": 3}, "Queued"),
    ({"state": "sent", "delivered": 0, "of": 3}, "Sent"),
    ({"state": "delivered", "delivered": 1, "of": 3}, "Delivered 1 of 3"),
    ({"state": "delivered", "delivered": 3, "of": 3}, "Delivered 3 of 3"),
    ({"state": "delivered", "delivered": 1, "of": 1}, "Delivered"),
    ({"state": "delivered", "delivered": 0, "of": 0}, "Nobody else here"),
    ({"state": "failed", "delivered": 0, "of": 1}, "Failed"),
    ({"state": "failed", "delivered": 2, "of": 3}, "Delivered 2 of 3, rest failed"),
]


def test_how_far_a_message_has_got_is_said_in_words(page: Page) -> None:
    code = "const { delivery } = await load('delivery'); return argument.map((state) => delivery(state).short);"
    assert run(page, code, [state for state, _ in STATES]) == [words for _, words in STATES]


def test_each_recipient_is_told_of_with_the_reason(page: Page) -> None:
    code = """const { recipients } = await load('delivery');
        const reasons = [{ peer: 'b', state: 'queued', reason: 'no answer' }, { peer: 'c', state: 'delivered' },
                         { peer: 'd', reason: 'refused' }];
        return recipients({ reasons }, (id) => ({ b: 'Bob', c: 'دانا' })[id] ?? id);"""
    assert run(page, code) == ["Bob: queued, no answer", "\u2068دانا\u2069: delivered", "d: refused"]


def test_names_are_cleaned_of_what_turns_or_hides_text(page: Page) -> None:
    code = """const { clean, isolated, initials, hue } = await load('names');
        const hues = [...Array(100).keys()].map((n) => hue(`${n}`));
        return [clean('\\u202eeve\\u0000\\n'), clean('\\u200b\\u2066 '), isolated('Bob'), isolated('דן'),
                initials('Đặng Thị Hoa'), initials('😀'), initials('bob_smith'), hues.every((n) => n >= 0 && n < 6)];"""
    assert run(page, code) == ["eve", "(no name)", "Bob", "\u2068דן\u2069", "ĐH", "?", "BS", True]


def test_times_are_those_of_the_reader(page: Page) -> None:
    code = """const { clockTime, dayName, dayNumber, instant, untilMidnight } = await load('time');
        const now = new Date('2026-11-23T12:00:00Z');
        const day = (iso) => dayName(new Date(iso), now);
        const shortDay = dayNumber(new Date('2026-03-29T22:30:00Z')) - dayNumber(new Date('2026-03-28T23:30:00Z'));
        return [clockTime(instant('2026-11-22T23:30:00Z')), day('2026-11-22T23:30:00Z'), day('2026-11-22T22:30:00Z'),
                day('2026-11-20T12:00:00Z'), day('2025-01-02T12:00:00Z'), shortDay,
                instant('nonsense', now) === now, untilMidnight(now) / 3600000];"""
    assert run(page, code) == [
        "00:30", "Today", "Yesterday", "Friday 20 November", "2 January 2025", 1, True, 11,
    ]  # fmt: skip


def test_addresses_inside_the_page_carry_any_name(page: Page) -> None:
    code = """const { route, hrefOf, inviteLink } = await load('routes');
        const names = ['#general', '@65113e1d', '*', '#a b+c&d=e#f%', '#日本'];
        const link = new URL(inviteLink('a&b', 'x+/='));
        return [names.map((name) => route(hrefOf(name)).to), route(link.hash), route(''), route('#nothing')];"""
    names, invited, nothing, unknown = run(page, code)
    assert names == ["#general", "@65113e1d", "*", "#a b+c&d=e#f%", "#日本"]
    assert (invited, nothing, unknown) == ({"join": "a&b", "invite": "x+/="}, {}, {})


# -- much at once ------------------------------------------------------------------------------------------------------

WINDOW = STORE + """
    const { MessageWindow } = await load('messages');
    document.getElementById('entry').hidden = true;
    document.getElementById('app').hidden = false;
    document.body.dataset.view = 'talk';
    const store = new Store();
    const asked = [];
    const chat = { store, outbox: { of: () => [] }, read: (one) => store.setRead(one.id, one.last),
        older: async (one) => { asked.push(one.timeline.before); } };
    const view = new MessageWindow(chat);
    const log = document.getElementById('log');
    const drawn = () => new Promise((resolve) => requestAnimationFrame(resolve));
    const frame = async () => {  // what was scrolled has been told, what has changed is shown
        for (let turn = 0; turn < 3; turn += 1) {
            await new Promise((resolve) => setTimeout(resolve, 20));
            await drawn();
        }
    };
    const shown = () => [...document.querySelectorAll('#messages .message')];
    const texts = () => shown().map((row) => row.querySelector('.text').textContent);
    store.apply(told({ conversations: [channel()] }));
    store.show('#a');
    view.open('#a');
    const numbered = (first, last) => many(first, last, (n) => ({ text: `number ${n}` }));
    const say = (first, last) => numbered(first, last).forEach((one) => store.apply({ type: 'message', message: one }));
"""


@pytest.fixture
def fresh(page: Page) -> Iterator[Page]:
    page.reload()
    yield page
    page.reload()


def test_ten_thousand_messages_leave_a_few_in_the_page_and_do_not_hold_it_up(fresh: Page) -> None:
    code = WINDOW + """const start = performance.now();
        let longest = 0;
        for (let n = 1; n <= 10000; n += 100) {
            const before = performance.now();
            say(n, n + 99);
            store.tell();
            longest = Math.max(longest, performance.now() - before);
        }
        await frame();
        const one = store.conversations.get('#a');
        return { time: performance.now() - start, longest, rows: shown().length, held: one.timeline.messages.length,
                 last: texts().at(-1), isAtEnd: log.scrollHeight - log.clientHeight - log.scrollTop < 2,
                 elements: document.querySelectorAll('*').length };"""
    seen = run(fresh, code)
    assert (seen["rows"], seen["last"], seen["isAtEnd"]) == (120, "number 10000", True)
    assert seen["held"] <= 250
    assert seen["elements"] < 2500
    assert seen["longest"] < 1000, seen  # a tenth of it on an idle machine
    assert seen["time"] < 20_000, seen


def test_who_reads_back_keeps_the_place_and_is_told_how_many_are_below(fresh: Page) -> None:
    code = WINDOW + """say(1, 200);
        await frame();
        log.scrollTop = 2000;
        await frame(); await frame();
        const place = () => {
            const edge = log.getBoundingClientRect().top;
            const row = shown().find((one) => one.getBoundingClientRect().bottom > edge);
            return [row.querySelector('.text').textContent, Math.round(row.getBoundingClientRect().top - edge)];
        };
        const pill = document.getElementById('below');
        const before = [place(), pill.textContent, pill.hidden];
        say(201, 201); await frame();
        const one = [place(), pill.textContent];
        say(202, 420); await frame();
        const after = [place(), pill.textContent, shown().length];
        pill.click(); await frame();
        return [before, one, after, texts().at(-1), pill.hidden];"""
    before, one, many, last, is_hidden = run(fresh, code)
    assert before[1:] == ["To the newest", False]
    assert one == [before[0], "1 new message"]
    assert many[:2] == [before[0], "220 new messages"]
    assert many[2] <= 240
    assert (last, is_hidden) == ("number 420", True)


def test_at_the_upper_end_older_messages_are_asked_for_and_the_place_stays(fresh: Page) -> None:
    code = WINDOW + """const one = store.conversations.get('#a');
        chat.older = async () => {
            asked.push(one.timeline.before);
            one.timeline.putOlder(numbered(one.timeline.before - 50, one.timeline.before - 1), true);
            store.changed('messages');
        };
        one.timeline.restart(numbered(951, 1000), true, 1001);
        store.changed('messages'); await frame();
        log.scrollTop = 600; await frame();
        const seen = [];
        for (let turn = 0; turn < 14; turn += 1) {
            log.scrollTop = Math.max(0, log.scrollTop - 700);
            await frame(); await frame();
            seen.push(shown().length);
        }
        const numbers = texts().map((text) => Number(text.slice(7)));
        const isWhole = numbers.every((n, i) => i === 0 || n === numbers[i - 1] + 1);
        return [asked.slice(0, 3), Math.max(...seen), isWhole, log.scrollTop > 0];"""
    asked, most, is_whole, has_room = run(fresh, code)
    assert asked == [951, 901, 851]
    assert most <= 240
    assert (is_whole, has_room) == (True, True)


def test_names_that_are_shown_alike_have_their_ids_beside_them(page: Page) -> None:
    code = """
        const { Store } = await load('store');
        const store = new Store();
        for (const [id, name] of argument) store.setPerson({ id, name, guest: false });
        return argument.map(([, name]) => store.isAmbiguous(name));"""
    people = [["1", "zoe"], ["2", "Zoe (guest)"], ["3", "ann"], ["4", "\uff3a\uff4f\uff45"]]
    assert run(page, code, people) == [True, True, False, True]
