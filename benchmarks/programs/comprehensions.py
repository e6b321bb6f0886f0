"""Data turned about in comprehensions, whose parts are no statements."""

SIZE = 60

numbers = list(range(2_000))
total = 0
for turn in range(SIZE):
    squares = [number * number % 97 for number in numbers if number % 3]
    names = {number: f"n{number}" for number in squares}
    rows = [(number, len(names[number])) for number in squares if number > turn]
    total += sum(width for _, width in rows) + len({number % 10 for number in squares})
print(total)
