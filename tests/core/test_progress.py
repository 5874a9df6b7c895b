import pytest

from olrsearch.core.progress import Heartbeat, duration


class Clock:
    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


def slowly(items, clock, seconds):
    for item in items:
        clock.time += seconds
        yield item


def test_a_line_every_half_minute_says_done_total_rate_and_time_left(clock):
    lines = []
    track = Heartbeat(lines.append, clock=clock)
    batches = [range(100)] * 20
    assert list(track(slowly(batches, clock, 10), total=2000, what="encode")) == batches
    assert lines[0] == "encode: 300 of 2,000 images, 10 images/s, 3 min left"
    assert len(lines) == 6


def test_short_works_share_the_half_minutes(clock):
    lines = []
    track = Heartbeat(lines.append, clock=clock)
    for number in range(8):
        list(track(slowly(range(5), clock, 2), total=5, what=f"scorer {number}", unit="labels"))
    assert [line.partition(":")[0] for line in lines] == ["scorer 2", "scorer 5"]
    assert "labels/s" in lines[0]


def test_quick_work_is_silent_and_resumed_work_counts_what_is_new(clock):
    lines = []
    heartbeat = Heartbeat(lines.append, clock=clock)
    work = heartbeat.work(total=100, what="teacher", unit="steps", done=50)
    clock.time = 29
    work.update(10)
    assert not lines
    clock.time = 40
    work.said = "epoch 3/5"
    work.update(10)
    assert lines == ["teacher: 70 of 100 steps, 0.5 steps/s, 60 s left, epoch 3/5"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(4.4, "4 s"), (99, "99 s"), (150, "2 min"), (11100, "3 h 05 min")]
)
def test_durations(seconds, said):
    assert duration(seconds) == said
