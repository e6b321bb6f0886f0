"""Recursion: many short calls, hardly any work in each."""

SIZE = 27


def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


print(fib(SIZE))
