import sys


def hanoi(discs, source, target, spare):
    if discs == 0:
        return 0
    return hanoi(discs - 1, source, spare, target) + 1 + hanoi(discs - 1, spare, target, source)


def permutations(items):
    if not items:
        return [[]]
    return [[head, *rest] for i, head in enumerate(items) for rest in permutations(items[:i] + items[i + 1 :])]


def queens(size, row=0, columns=()):
    if row == size:
        return 1
    return sum(
        queens(size, row + 1, (*columns, column))
        for column in range(size)
        if all(column != c and abs(column - c) != row - r for r, c in enumerate(columns))
    )


print(hanoi(5, "a", "b", "c"), len(permutations(list("abc"))), queens(5))


def endless(depth):
    return endless(depth + 1)


try:
    endless(0)
except RecursionError as error:
    print(type(error).__name__, sys.getrecursionlimit() > 100)
