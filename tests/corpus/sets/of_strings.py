words = {"pear", "fig", "apple", "plum", "kiwi", "lemon"}
print(words, list(words | {"lime"}), next(iter(words)))
print({word[0] for word in words}, frozenset(words) & {"fig", "nut"}, {None, "a", 1.5, (1, "b")})
index = {word: position for position, word in enumerate(words)}
print(index, max(words, key=lambda word: index[word]))
popped = words.pop()
print(popped, len(words))
for word in set("to be or not to be".split()):
    print(word, end=" ")
print()
