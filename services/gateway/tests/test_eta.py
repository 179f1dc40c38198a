"""ETAs: a range that is given early, narrows with each stage, and holds."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

import pytest

from gateway.eta.estimate import (
    NOTHING,
    Ahead,
    Queue,
    SceneAhead,
    Span,
    Took,
    left,
    rounded,
    scene_left,
    slots,
    stage_left,
    usual,
)

TEN = Span(8, 10, 14)


def took(*seconds: float, model: str = "m", length: float = 5) -> list[Took]:
    return [Took(model, length, one) for one in seconds]


@pytest.mark.parametrize(
    ("known", "mid"),
    [
        pytest.param(took(30), 30, id="one is better than none"),
        pytest.param(took(9, 10, 11, 900), 10.5, id="the middle, whatever an outlier does"),
        pytest.param(took(*[10] * 20, *[99] * 40), 10, id="the newest count"),
        pytest.param(took(10, 10, 10) + took(50, 50, 50, model="other"), 10, id="of the same model"),
        pytest.param(took(10, 10, 10) + took(50, 50, 50, length=10), 10, id="of the same length"),
        pytest.param(took(50) + took(20, 20, 20, length=10), 15, id="of another length, in proportion"),
        pytest.param(took(50, 50, 50, model="other"), 50, id="of another model, where there is no other"),
    ],
)
def test_what_is_usual_is_what_the_same_took_before(known: list[Took], mid: float) -> None:
    span = usual(known, "m", 5)
    assert span is not None
    assert span.mid == pytest.approx(mid)
    assert 0 <= span.low <= span.mid <= span.high


def test_nothing_is_usual_where_nothing_was_done() -> None:
    assert usual([], "m", 5) is None


def test_the_more_is_known_the_narrower_the_range() -> None:
    one, three, many = (usual(took(*[10.0] * n), "m", 5) or NOTHING for n in (1, 3, 20))
    widths = [span.high - span.low for span in (one, three, many)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 3


@pytest.mark.parametrize(
    ("known", "count"),
    [
        ([], 2),
        ([Took("m", 5, 9, busy=1, waiting=2)], 1),
        ([Took("m", 5, 9, busy=3, waiting=2), Took("m", 5, 9, busy=3, waiting=1)], 3),
        ([Took("m", 5, 9, busy=4, waiting=0)], 4),
        ([Took("m", 5, 9, busy=1, waiting=0)], 2),
    ],
)
def test_a_provider_has_as_many_slots_as_were_busy_while_others_waited(known: list[Took], count: int) -> None:
    assert slots(known, guess=2) == count


@pytest.mark.parametrize("elapsed", [0, 1, 7, 9, 10, 13, 14, 15, 60, 3600])
def test_what_is_left_of_a_stage_is_never_below_zero_and_never_out_of_order(elapsed: float) -> None:
    span = stage_left(TEN, elapsed)
    assert 0 <= span.low <= span.mid <= span.high
    if elapsed:
        assert span.mid > 0


@pytest.mark.parametrize(
    ("scene", "mid"),
    [
        pytest.param(SceneAhead(TEN), 10, id="it waits"),
        pytest.param(SceneAhead(TEN, elapsed=4), 6, id="nothing was heard: by time"),
        pytest.param(SceneAhead(TEN, elapsed=9, percent=90, heard=9), 1, id="by how far it is"),
        pytest.param(SceneAhead(TEN, elapsed=10, percent=50, heard=10), 5.6, id="slower than usual: between both"),
    ],
)
def test_what_is_left_of_a_scene(scene: SceneAhead, mid: float) -> None:
    assert scene_left(scene).mid == pytest.approx(mid, abs=0.5)


def ahead(*scenes: SceneAhead, queue: Queue | None = None, storyboard: Span | None = None) -> Ahead:
    return Ahead("me", storyboard, scenes, queue or Queue(slots=2, takes=TEN), combining=Span(4, 5, 6))


WAITS = SceneAhead(TEN)


@pytest.mark.parametrize(
    ("what", "mid"),
    [
        pytest.param(ahead(), 5, id="only the combining"),
        pytest.param(ahead(WAITS, WAITS), 15, id="two at once"),
        pytest.param(ahead(WAITS, WAITS, WAITS), 25, id="two at once, then the third"),
        pytest.param(ahead(WAITS, storyboard=Span(1, 3, 9)), 18, id="first it is written"),
        pytest.param(
            ahead(SceneAhead(TEN, elapsed=5), SceneAhead(TEN, elapsed=2), WAITS), 20, id="the first free slot"
        ),
        pytest.param(ahead(WAITS, queue=Queue(1, TEN, running=1)), 20, id="half a scene of another is ahead"),
        pytest.param(ahead(WAITS, queue=Queue(1, TEN, 0, {"you": {1: 1}})), 25, id="another waits"),
        pytest.param(ahead(WAITS, queue=Queue(1, TEN, 0, {"you": {5: 20}})), 25, id="owners take turns"),
        pytest.param(ahead(WAITS, queue=Queue(1, TEN, 0, {"me": {5: 20}})), 215, id="one's own videos take turns"),
        pytest.param(ahead(WAITS, WAITS, queue=Queue(1, TEN, 0, {"me": {1: 1}})), 35, id="until one has no more"),
        pytest.param(ahead(WAITS, queue=Queue(10, TEN, 10, {"me": {5: 200}})), 220, id="a long queue, many slots"),
    ],
)
def test_what_is_left_of_a_video(what: Ahead, mid: float) -> None:
    span = left(what)
    assert span.mid == pytest.approx(mid, rel=0.1)
    assert 0 <= span.low <= span.mid <= span.high


@pytest.mark.parametrize(
    ("span", "promised", "seconds", "range_", "notice"),
    [
        (Span(10.2, 20.4, 30.1), 31, 20, (10, 31), None),
        (NOTHING, None, 1, (0, 1), None),
        (NOTHING, -100.0, 1, (0, 1), "It takes longer than usual: about 100 s more."),
        (Span(10, 20, 30), 19, 20, (10, 30), None),
        (Span(10, 20, 30), 13, 20, (10, 30), "It takes longer than usual: about 7 s more."),
        (Span(80, 100, 130), 58, 100, (80, 130), "It takes longer than usual: about 40 s more."),
    ],
)
def test_what_people_are_told(
    span: Span, promised: float | None, seconds: int, range_: tuple[int, int], notice: str | None
) -> None:
    eta = rounded(span, promised)
    assert (eta.seconds, (eta.low, eta.high), eta.notice) == (seconds, range_, notice)


# --- histories that are replayed: a provider, its queue, and videos that come at any time


@dataclass
class Scene:
    takes: float
    started: float | None = None
    ended: float | None = None


@dataclass
class Film:
    owner: str
    asked: float
    writing: float
    scenes: list[Scene]
    combining: float
    ranges: list[tuple[float, Span]] = field(default_factory=list)
    rendered: float | None = None

    @property
    def waiting(self) -> int:
        return sum(scene.started is None for scene in self.scenes)

    @property
    def running(self) -> int:
        return sum(scene.started is not None and scene.ended is None for scene in self.scenes)


class History:
    """Films in a random order of events, second by second, and the ETAs given meanwhile."""

    def __init__(self, seed: int, spread: float, slots: int) -> None:
        self.random = random.Random(seed)
        self.spread = spread
        self.slots = slots
        self.scenes_took: list[Took] = []
        self.combining_took: list[Took] = []
        self.writing_took: list[Took] = []
        self.films: list[Film] = []

    def about(self, seconds: float) -> float:
        return seconds * self.random.lognormvariate(0, self.spread)

    def films_made(self, count: int) -> Iterator[Film]:
        clock, going = 0.0, list[Film]()
        while count or going:
            if count and self.random.random() < 0.6 * self.slots / (3 * 20):
                count -= 1
                scenes = [Scene(self.about(20)) for _ in range(self.random.randint(1, 5))]
                owner = self.random.choice("abc")
                going.append(Film(owner, clock, self.about(3), scenes, self.about(6)))
            for film in list(going):
                self.tell(film, going, clock)
                if self.go_on(film, going, clock):
                    going.remove(film)
                    film.ranges.append((clock, NOTHING))
                    yield film
            clock += 1

    def go_on(self, film: Film, going: list[Film], clock: float) -> bool:
        if clock < film.asked + film.writing:
            return False
        for scene in film.scenes:
            if scene.started is not None and scene.ended is None and clock >= scene.started + scene.takes:
                scene.ended = clock
                busy, waiting = sum(one.running for one in going) + 1, sum(one.waiting for one in going)
                self.scenes_took.insert(0, Took("m", 5, clock - scene.started, busy, waiting))
        self.start_scenes(going, clock)
        if film.rendered is None and all(scene.ended is not None for scene in film.scenes):
            film.rendered = clock
            self.writing_took.insert(0, Took("", 3, film.writing))
        if film.rendered is None or clock < film.rendered + film.combining:
            return False
        self.combining_took.insert(0, Took("", 30, film.combining))
        return True

    def start_scenes(self, going: list[Film], clock: float) -> None:
        ready = [film for film in going if film.waiting and clock >= film.asked + film.writing]
        while ready and sum(film.running for film in going) < self.slots:
            of_owner = {owner: sum(f.running for f in going if f.owner == owner) for owner in "abc"}
            film = min(ready, key=lambda one: (of_owner[one.owner], one.running, one.asked))
            next(scene for scene in film.scenes if scene.started is None).started = clock
            ready = [one for one in ready if one.waiting]

    def tell(self, film: Film, going: list[Film], clock: float) -> None:
        takes = usual(self.scenes_took[:60], "m", 5) or Span(8, 20, 45)
        scenes = [
            SceneAhead(takes, None if scene.started is None else clock - scene.started)
            for scene in film.scenes
            if scene.ended is None
        ]
        others = [one for one in going if one is not film]
        waiting: dict[str, dict[int, int]] = {}
        for one in others:
            if one.waiting:
                of_owner = waiting.setdefault(one.owner, {})
                of_owner[one.waiting] = of_owner.get(one.waiting, 0) + 1
        count = slots(self.scenes_took, 2)
        writing = usual(self.writing_took[:60], "", 3) or Span(0.1, 3, 25)
        combining = usual(self.combining_took[:60], "", 30) or Span(2, 7, 18)
        what = Ahead(
            owner=film.owner,
            storyboard=stage_left(writing, clock - film.asked) if clock < film.asked + film.writing else None,
            scenes=scenes,
            queue=Queue(count, takes, sum(one.running for one in others), waiting),
            combining=combining if film.rendered is None else stage_left(combining, clock - film.rendered),
        )
        film.ranges.append((clock, left(what)))


@pytest.mark.parametrize(("spread", "count"), [(0.1, 2), (0.3, 2), (0.3, 10), (0.5, 4)])
def test_the_first_range_is_kept_by_nine_films_of_ten_and_only_gets_narrower(spread: float, count: int) -> None:
    kept, narrowing, off = [], [], []
    for seed in range(2):
        for film in History(seed, spread, count).films_made(40):
            ended = film.ranges[-1][0]
            first = film.ranges[0][1]
            assert all(0 <= span.low <= span.mid <= span.high for _, span in film.ranges)
            kept.append(ended <= film.asked + first.high)
            off.append(abs(film.asked + first.mid - ended) / (ended - film.asked))
            widths = [span.high - span.low for _, span in film.ranges[:-1]]
            quarter = max(len(widths) // 4, 1)
            narrowing.append(median(widths[:quarter]) > median(widths[-quarter:]))
    assert sum(kept) >= 0.9 * len(kept)
    assert sum(narrowing) >= 0.9 * len(narrowing)
    assert median(off) < 0.35
