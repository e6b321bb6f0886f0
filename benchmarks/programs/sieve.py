"""Primes by Eratosthenes, with inner loops."""

SIZE = 120_000

marks = [True] * (SIZE + 1)
marks[0] = marks[1] = False
number = 2
while number * number <= SIZE:
    if marks[number]:
        multiple = number * number
        while multiple <= SIZE:
            marks[multiple] = False
            multiple += number
    number += 1
print(sum(marks), max(index for index, mark in enumerate(marks) if mark))
