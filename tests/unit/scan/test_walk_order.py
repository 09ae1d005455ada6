"""The order in which folders are asked for, held and given out."""

from __future__ import annotations

import random
import time

from autotransfer.common.paths import join
from autotransfer.scan.walk_order import WalkOrder

SEED = random.randrange(10**6)


def tree_of(chance: random.Random, folders: int) -> dict[str, list[str]]:
    """The rel_paths of the folders in each folder, sorted by name."""
    tree: dict[str, list[str]] = {"": []}
    for number in range(folders):
        above = chance.choice(list(tree))
        name = chance.choice(["a", "a b", "a-", "b", "é", "z"]) + str(number)
        tree[above].append(join(above, name))
        tree[join(above, name)] = []
    return {above: sorted(below) for above, below in tree.items()}


def walked(tree: dict[str, list[str]], top: str = "") -> list[str]:
    return [top, *(path for below in tree[top] for path in walked(tree, below))]


def given_out(tree: dict[str, list[str]], chance: random.Random, *, window: int, most: int) -> tuple[list[str], int]:
    """The order in which folders come out when answers come in any order; and how many were ever held."""
    frontier: WalkOrder[str] = WalkOrder([""], window)
    order, asked, held, most_held = [], [], 0, 0
    while not frontier.is_done:
        asked += frontier.ask(most)
        found = frontier.next()
        if found is not None:
            assert found[0] == found[1]
            order.append(found[0])
            held -= 1
            continue
        answered = asked.pop(chance.randrange(len(asked)))
        frontier.answer(answered, answered, tree[answered])
        held += 1
        most_held = max(most_held, held + len(asked))
    assert not asked
    return order, most_held


def test_folders_come_out_in_the_order_of_a_walk_whatever_the_order_of_the_answers() -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    for _ in range(60):
        tree = tree_of(chance, chance.randrange(80))
        order, _ = given_out(tree, chance, window=chance.choice([1, 2, 7, 1000]), most=chance.choice([1, 3, 64]))
        assert order == walked(tree)


def test_no_more_is_held_than_the_window_and_the_one_whose_turn_it_is() -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    for window in (1, 5, 40):
        tree = tree_of(chance, 300)
        _, most_held = given_out(tree, chance, window=window, most=8)
        assert most_held <= window + 1


def test_siblings_are_asked_for_together_and_the_nearest_first() -> None:
    frontier: WalkOrder[int] = WalkOrder(["a", "b", "c"], 10)

    assert frontier.ask(2) == ["a", "b"]
    frontier.answer("a", 1, ["a/x", "a/y"])
    assert frontier.ask(9) == ["a/x", "a/y", "c"]
    assert frontier.next() == ("a", 1)
    assert frontier.next() is None
    assert frontier.ask(9) == []


def test_siblings_by_the_hundred_thousand_take_time_in_proportion() -> None:
    def seconds(count: int) -> float:
        frontier: WalkOrder[int] = WalkOrder([""], 100)
        frontier.ask(1)
        frontier.answer("", 0, [f"{number:06}" for number in range(count)])
        started = time.process_time()
        while not frontier.is_done:
            for rel_path in frontier.ask(1):
                frontier.answer(rel_path, 0, [])
            frontier.next()
        return time.process_time() - started

    # Twenty times as many; in the square of that it would be four hundred times. The least of three is free of chance.
    assert min(seconds(60_000) for _ in range(3)) < 60 * min(seconds(3_000) for _ in range(3))
