"""Words of a text, counted in a dictionary."""

import random

SIZE = 60_000

dice = random.Random(11)
stems = [a + b for a in ("ba", "do", "ke", "mi", "ru", "ta", "vo") for b in ("l", "n", "r", "st", "x")]
text = " ".join(dice.choices(stems, k=SIZE))
counts = {}
longest = ""
for word in text.split():
    word = word.strip(".,;")
    counts[word] = counts.get(word, 0) + 1
    if len(word) > len(longest):
        longest = word
top = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
print(longest, top)
