import re
import statistics
from collections import Counter

text = """It was the best of times, it was the worst of times,
it was the age of wisdom, it was the age of foolishness."""
words = re.findall(r"[a-z]+", text.lower())
counts = Counter(words)
print(counts.most_common(5))
lengths = [len(word) for word in words]
print(statistics.mean(lengths), statistics.median(lengths), statistics.pstdev(lengths))
unique = sorted({word for word in words if counts[word] == 1})
print(unique, max(words, key=len))
